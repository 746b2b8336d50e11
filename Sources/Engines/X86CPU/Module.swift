// SPDX-License-Identifier: Apache-2.0

// X86CPU: The software CPU: state, memory management, decoder, interpreter.
