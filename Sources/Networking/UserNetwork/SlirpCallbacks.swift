// SPDX-License-Identifier: Apache-2.0

internal import CSlirp
internal import Diagnostics
internal import HostIO
internal import HostSystem

/// The functions that libslirp calls. Each gets the `UserNetwork` that it was started with, on the loop's thread, during
/// a call that the network makes; the network outlives the library's state.
enum SlirpCallbacks {
    private static func network(_ context: UnsafeMutableRawPointer?) -> UserNetwork? {
        // The pointer is UserNetwork.context.
        guard let context = unsafe context else { return nil }
        return unsafe Unmanaged<UserNetwork>.fromOpaque(context).takeUnretainedValue()
    }

    /// A timer of the library: which one, and what to call it with.
    private final class Timer {
        let timer: LoopTimer
        init(_ timer: LoopTimer) { self.timer = timer }
    }

    static func make() -> SlirpCb {
        var callbacks = SlirpCb()
        unsafe callbacks.send_packet = { buffer, count, context in
            // The library lends `count` bytes for the call.
            unsafe SlirpCallbacks.network(context)?.output(UnsafeRawBufferPointer(start: buffer, count: count))
            return Int(count)
        }
        unsafe callbacks.guest_error = { text, _ in
            // A string that lives for the call.
            guard let text = unsafe text else { return }
            let line = unsafe String(cString: text)
            Log.shared.write(.guestErrors, "user network: \(line)")
        }
        unsafe callbacks.clock_get_ns = { _ in Int64(truncatingIfNeeded: monotonicNanoseconds()) }
        unsafe callbacks.timer_new_opaque = { identifier, argument, context in
            guard let network = unsafe SlirpCallbacks.network(context) else { return nil }
            let number = UInt32(identifier.rawValue)
            // The argument is the library's own and stays valid as long as the timer. Timer callbacks and the library
            // run on one thread.
            nonisolated(unsafe) let argument = unsafe argument
            let timer = network.loop.makeTimer { [weak network] in
                unsafe network?.fire(timer: number, argument: argument)
            }
            // Given back in timer_free.
            return unsafe Unmanaged.passRetained(Timer(timer)).toOpaque()
        }
        unsafe callbacks.timer_free = { timer, _ in
            guard let timer = unsafe timer else { return }
            // Takes over the reference that timer_new_opaque made.
            unsafe Unmanaged<Timer>.fromOpaque(timer).takeRetainedValue().timer.cancel()
        }
        unsafe callbacks.timer_mod = { timer, milliseconds, _ in
            guard let timer = unsafe timer else { return }
            // A timer that was made and not freed.
            unsafe Unmanaged<Timer>.fromOpaque(timer).takeUnretainedValue().timer
                .arm(at: UInt64(max(milliseconds, 0)) &* 1_000_000)
        }
        unsafe callbacks.register_poll_fd = { _, context in unsafe SlirpCallbacks.network(context)?.schedule() }
        unsafe callbacks.unregister_poll_fd = { descriptor, context in
            unsafe SlirpCallbacks.network(context)?.polling.forget(descriptor)
        }
        unsafe callbacks.notify = { context in unsafe SlirpCallbacks.network(context)?.schedule() }
        return callbacks
    }

    static let addPoll: SlirpAddPollCb = { descriptor, events, context in
        unsafe SlirpCallbacks.network(context)?.polling.add(descriptor, events: events) ?? -1
    }

    static let readiness: SlirpGetREventsCb = { number, context in
        unsafe SlirpCallbacks.network(context)?.polling.readiness(number) ?? 0
    }
}
