// SPDX-License-Identifier: Apache-2.0

// CharacterStreams: Character devices: terminals, files, pipes, sockets, and the multiplexer behind Ctrl-a.
