import Glibc
import SystemIO
import Testing

@Suite struct LocalSocketTests {
    /// A folder of this test's own, removed with everything in it.
    private final class Folder {
        let path: String

        init() {
            var template = Array("/tmp/flowsync-test.XXXXXX".utf8CString)
            path = template.withUnsafeMutableBufferPointer { buffer in
                guard let start = buffer.baseAddress, let made = mkdtemp(start) else { return "" }
                return String(cString: made)
            }
            #expect(!path.isEmpty)
        }

        deinit {
            for name in ["s", "file"] { unlink("\(path)/\(name)") }
            rmdir("\(path)/made")
            rmdir(path)
        }
    }

    /// A socket that listens at `path`, or only has been bound there.
    private func listener(at path: String, listens: Bool) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let result = withUnsafeBytes(of: &address) { buffer in
            buffer.withMemoryRebound(to: sockaddr.self) {
                bind(descriptor, $0.baseAddress, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(result == 0)
        if listens { #expect(listen(descriptor, 1) == 0) }
        return descriptor
    }

    @Test func bytesGoBothWaysAndCloseIsSeen() throws {
        let folder = Folder()
        let server = listener(at: folder.path + "/s", listens: true)
        defer { close(server) }
        let client = try LocalSocket.connect(to: folder.path + "/s", timeoutSeconds: 5)
        let accepted = accept(server, nil, nil)
        try client.write(Array("hello".utf8))
        var received = [UInt8](repeating: 0, count: 16)
        #expect(recv(accepted, &received, 16, 0) == 5)
        #expect(send(accepted, received, 5, 0) == 5)
        var buffer = [UInt8](repeating: 0, count: 16)
        let count = try client.read(into: &buffer)
        #expect(buffer[..<count] == ArraySlice("hello".utf8))
        close(accepted)
        #expect(try client.read(into: &buffer) == 0)
        let error = #expect(throws: SystemError.self) {
            // The first write after the close may still be taken by the kernel; it must end in EPIPE, not in a signal.
            for _ in 0..<10 { try client.write([UInt8](repeating: 0, count: 65_536)) }
        }
        #expect(error?.errno == EPIPE)
    }

    @Test func aSilentPeerTimesOut() throws {
        let folder = Folder()
        let server = listener(at: folder.path + "/s", listens: true)
        defer { close(server) }
        let client = try LocalSocket.connect(to: folder.path + "/s", timeoutSeconds: 1)
        var buffer = [UInt8](repeating: 0, count: 16)
        let error = #expect(throws: SystemError.self) { try client.read(into: &buffer) }
        #expect(error?.errno == EAGAIN)
    }

    @Test func failuresSayWhy() {
        let folder = Folder()
        func failure(_ path: String) -> Int32? {
            do {
                _ = try LocalSocket.connect(to: path)
                return nil
            } catch { return error.errno }
        }
        #expect(failure(folder.path + "/s") == ENOENT)
        #expect(failure(folder.path + "/" + String(repeating: "x", count: 107)) == ENAMETOOLONG)
        close(listener(at: folder.path + "/s", listens: false))
        #expect(failure(folder.path + "/s") == ECONNREFUSED)
    }

    @Test func occupantsAreToldApart() throws {
        let folder = Folder()
        let path = folder.path + "/s"
        #expect(try LocalSocketPath.occupant(of: path) == .nothing)
        let live = listener(at: path, listens: true)
        #expect(try LocalSocketPath.occupant(of: path) == .listener)
        close(live)
        #expect(try LocalSocketPath.occupant(of: path) == .staleSocket)
        try LocalSocketPath.remove(path)
        try LocalSocketPath.remove(path)
        #expect(try LocalSocketPath.occupant(of: path) == .nothing)
        close(open(folder.path + "/file", O_CREAT | O_WRONLY, 0o600))
        #expect(try LocalSocketPath.occupant(of: folder.path + "/file") == .otherFile)
    }

    @Test func parentFolderIsMadeOnce() throws {
        let folder = Folder()
        try LocalSocketPath.makeParentFolder(of: folder.path + "/made/s")
        try LocalSocketPath.makeParentFolder(of: folder.path + "/made/s")
        #expect(access(folder.path + "/made", F_OK) == 0)
        let error = #expect(throws: SystemError.self) {
            try LocalSocketPath.makeParentFolder(of: folder.path + "/a/b/s")
        }
        #expect(error?.errno == ENOENT)
    }
}
