import Glibc
import SystemIO
import Testing

/// A directory of its own per test, gone afterwards.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/flowsync-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError(call: "mkdtemp", errno: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        _ = system("rm -rf \(path)")
    }
}

@Suite struct SystemFileTests {
    @Test func readsBackWhatWasWritten() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/state"
        let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
        try SystemFile.writeAtomically(bytes, to: path, mode: 0o640)
        #expect(try SystemFile.read(path) == bytes)
        try SystemFile.writeAtomically([], to: path, mode: 0o600)
        #expect(try SystemFile.read(path) == [])
    }

    @Test func modeIsExactWhateverTheUmask() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/key"
        try SystemFile.writeAtomically([1], to: path, mode: 0o666)
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o666)
    }

    @Test func aFailedWriteLeavesTheOldFileAndNoOther() throws {
        let directory = try TemporaryDirectory()
        // A directory in the place of the file: the rename fails after the bytes are written.
        let path = directory.path + "/taken"
        #expect(mkdir(path, 0o700) == 0)
        let error = #expect(throws: SystemError.self) {
            try SystemFile.writeAtomically([1], to: path, mode: 0o600)
        }
        #expect(error?.call == "rename")
        #expect(error?.errno == EISDIR)
        #expect(system("test \"$(ls -A \(directory.path))\" = taken") == 0)
    }

    @Test func aFilePastTheLimitIsRefused() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/long"
        try SystemFile.writeAtomically([UInt8](repeating: 0, count: 101), to: path, mode: 0o600)
        #expect(try SystemFile.read(path, byteCountMax: 101).count == 101)
        let error = #expect(throws: SystemError.self) { _ = try SystemFile.read(path, byteCountMax: 100) }
        #expect(error?.errno == EFBIG)
    }

    @Test func aMissingFileIsNamed() throws {
        let error = #expect(throws: SystemError.self) { _ = try SystemFile.read("/nowhere/at/all") }
        #expect(error?.description == "open /nowhere/at/all: No such file or directory (ENOENT)")
    }

    @Test func everyErrnoHasANameAndAText() {
        #expect(SystemError.name(of: ENOBUFS) == "ENOBUFS")
        #expect(SystemError.text(of: ENOBUFS) == "No buffer space available")
        #expect(SystemError.name(of: 4_711) == "errno 4711")
        #expect(SystemError(call: "epoll_wait", errno: EBADF).description == "epoll_wait: Bad file descriptor (EBADF)")
    }
}

/// `#expect` cannot compare values that cannot be copied.
private func isHeld(_ lock: borrowing FileLock?) -> Bool {
    switch lock {
    case .some: true
    case .none: false
    }
}

@Suite struct FileLockTests {
    @Test func oneHolderAtATime() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/lock"
        do {
            let first = try FileLock.acquire(path)
            let second = try FileLock.acquire(path)
            let held = [isHeld(first), isHeld(second)]
            #expect(held == [true, false])
        }
        let third = try FileLock.acquire(path)
        let isFree = isHeld(third)
        #expect(isFree)
    }

    @Test func aKilledHolderLeavesNothingBehind() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/lock"
        // The shell prints the holder's process number and then becomes the holder.
        let start = "sh -c 'echo $$ > \(path).pid; exec flock --no-fork \(path) sleep 600' & "
        #expect(system(start + "until flock --nonblock \(path) true; [ $? -eq 1 ]; do sleep 0.01; done") == 0)
        let before = try FileLock.acquire(path)
        let isOurs = isHeld(before)
        #expect(!isOurs)
        #expect(system("kill -9 $(cat \(path).pid)") == 0)
        // The kernel closes a killed process' files a moment after the signal.
        let deadline = MonotonicClock.nanoseconds() + 5_000_000_000
        var isFree = false
        while !isFree, MonotonicClock.nanoseconds() < deadline {
            let lock = try FileLock.acquire(path)
            isFree = isHeld(lock)
            if !isFree { usleep(5_000) }
        }
        #expect(isFree)
    }

    @Test func aDirectoryThatIsMissingIsAnError() throws {
        let error = #expect(throws: SystemError.self) { _ = try FileLock.acquire("/nowhere/lock") }
        #expect(error?.errno == ENOENT)
    }
}
