// SPDX-License-Identifier: Apache-2.0

internal import CLinux

/// The resident pages of the program's own files and the unused memory of its heap.
public enum ProgramPages {
    /// Lets go of what only the start of the program needed: code and constants of the program and of its libraries, which
    /// come back from the page cache when they are touched, and free memory of the heap. What is written is not touched.
    /// Callable on any thread; costs some hundred microseconds, and later a minor fault for the pages in use.
    public static func release() { roost_release_program_pages() }
}
