import Glibc
import Link
import SystemIO
import Testing

@Suite("Key files on disk")
struct SealKeyFileTests {
    /// A path that nothing is at; what a test puts there goes with the folder.
    private final class Folder {
        let path: String

        init() throws {
            path = "/tmp/flowsync-seal-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
            try #require(mkdir(path, 0o700) == 0)
        }

        deinit {
            for name in ["sync.key", "link"] { unlink("\(path)/\(name)") }
            rmdir("\(path)/folder")
            rmdir(path)
        }

        var key: String { "\(path)/sync.key" }

        func write(_ text: String, mode: UInt32) throws {
            try SystemFile.writeAtomically(Array(text.utf8), to: key, mode: mode)
        }
    }

    private func error(_ path: String) -> KeyFileError? {
        do {
            _ = try KeyRing.load(path: path)
            return nil
        } catch {
            return error
        }
    }

    @Test("A file that is made can be loaded, by its owner only, and is never overwritten")
    func create() throws {
        let folder = try Folder()
        let made = try KeyRing.create(at: folder.key)
        var status = stat()
        #expect(stat(folder.key, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o600)
        let ring = try KeyRing.load(path: folder.key)
        #expect(made == ring)
        let bytes = try SystemFile.read(folder.key)
        #expect(try KeyRing(parsing: bytes, path: folder.key) == ring)
        #expect(throws: KeyFileError.exists(path: folder.key)) { try KeyRing.create(at: folder.key) }
        #expect(try SystemFile.read(folder.key) == bytes)
    }

    @Test("No file is made through a link, nor where there is no folder")
    func createElsewhere() throws {
        let folder = try Folder()
        symlink(folder.key, "\(folder.path)/link")
        #expect(throws: KeyFileError.exists(path: "\(folder.path)/link")) {
            try KeyRing.create(at: "\(folder.path)/link")
        }
        #expect(access(folder.key, F_OK) != 0)
        let path = "\(folder.path)/none/sync.key"
        #expect(throws: KeyFileError.noFolder(path: path)) { try KeyRing.create(at: path) }
    }

    @Test(
        "A file that others can use in any way is refused",
        arguments: [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666]
    )
    func mode(mode: UInt32) throws {
        let folder = try Folder()
        try folder.write(KeyRing.generate(), mode: mode)
        #expect(error(folder.key) == .mode(path: folder.key, mode: mode))
        let text =
            "others may use the key file (mode \(String(mode, radix: 8))). Keep them out: chmod 600 \(folder.key)"
        #expect(error(folder.key)?.description == "\(folder.key): \(text)")
        #expect(chmod(folder.key, 0o600) == 0)
        #expect(error(folder.key) == nil)
        #expect(chmod(folder.key, 0o400) == 0)
        #expect(error(folder.key) == nil)
    }

    @Test("A file of somebody else is refused", .enabled(if: geteuid() == 0, "only root can give files away"))
    func owner() throws {
        let folder = try Folder()
        try folder.write(KeyRing.generate(), mode: 0o600)
        #expect(chown(folder.key, 1_234, 0) == 0)
        #expect(error(folder.key) == .owner(path: folder.key, userID: 1_234, readerID: 0))
        #expect(error(folder.key)?.description.hasSuffix("chown root \(folder.key)") == true)
    }

    @Test("What is missing, or no file, has its own message")
    func noFile() throws {
        let folder = try Folder()
        #expect(error(folder.key) == .missing(path: folder.key))
        #expect(error(folder.key)?.description.contains("`flowsync keygen \(folder.key)`") == true)
        #expect(error(folder.path) == .notRegular(path: folder.path))
        #expect(mkfifo(folder.key, 0o600) == 0)
        #expect(error(folder.key) == .notRegular(path: folder.key))
        #expect(error("/dev/null") == .notRegular(path: "/dev/null"))
    }

    @Test("A link leads to the file, whose own mode counts")
    func link() throws {
        let folder = try Folder()
        try folder.write(KeyRing.generate(), mode: 0o600)
        let path = "\(folder.path)/link"
        symlink("sync.key", path)
        #expect(error(path) == nil)
        #expect(chmod(folder.key, 0o644) == 0)
        #expect(error(path) == .mode(path: path, mode: 0o644))
    }

    @Test("A file without a good key is refused as its text is, and a huge one is not read to its end")
    func content() throws {
        let folder = try Folder()
        try folder.write("", mode: 0o600)
        #expect(error(folder.key) == .noKey(path: folder.key))
        try folder.write("# key\nabc\n", mode: 0o600)
        #expect(error(folder.key) == .notKey(path: folder.key, line: 2, reason: "this line has 3"))
        try folder.write(KeyRing.generate() + String(repeating: "#\n", count: 40_000), mode: 0o600)
        #expect(error(folder.key) == .system(SystemError(call: "read", errno: EFBIG, context: folder.key)))
    }
}
