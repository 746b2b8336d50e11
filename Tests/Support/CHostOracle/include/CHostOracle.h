// SPDX-License-Identifier: Apache-2.0
//
// Runs one user-mode instruction on the host's own processor with all registers given, and reports all registers
// afterwards. C, because it loads and saves every register, and because the end of each run is a signal.

#ifndef ROOST_CHOSTORACLE_H
#define ROOST_CHOSTORACLE_H

#include <stdint.h>

/// Registers before and after a run.
struct roost_oracle_state {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    /// YMM0...YMM15, 32 bytes each.
    uint8_t ymm[512];
    /// As FXSAVE64; MXCSR in it counts, the XMM part does not.
    uint8_t fxsave[512];
    /// After a run: the exception's vector (3 for the breakpoint behind the instruction), error code and address.
    uint64_t vector, error, address;
};

/// Prepares the calling thread: the state's page at a low address, the signal stack and the handlers. Code at `code` and
/// data at `data` are mapped at these low addresses, `code_bytes` and `data_bytes` (of which the last `read_only_bytes`
/// cannot be written) long.
/// - Returns: 0, or an error number.
int roost_oracle_prepare(uint64_t code, uint64_t code_bytes, uint64_t data, uint64_t data_bytes,
                         uint64_t read_only_bytes);

/// Where code and read-only data can be written.
uint8_t *roost_oracle_code(void);
uint8_t *roost_oracle_data(void);

/// Runs from `state->rip` (in the code) until an exception. `bits` is 64, 32 (compatibility mode) or 16 (`rip` is then the
/// offset in the code, and data and stack segments begin at the data).
/// - Parameter avx: load and save the upper halves of the YMM registers.
void roost_oracle_run(struct roost_oracle_state *state, int bits, int avx);

/// 1 where the host's kernel allows 16-bit segments (modify_ldt(2)).
int roost_oracle_has_segments(void);

/// 1 where the host has AVX and its kernel saves the state.
int roost_oracle_has_avx(void);

#endif
