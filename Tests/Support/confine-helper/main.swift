// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import ProcessConfinement

// The launcher of confined programs, for tests: `confine ...` and `confine-show ...` as roostd has them.

let words = Array(CommandLine.arguments.dropFirst())
switch words.first {
case ConfinedLaunch.word: exit(ConfinedLaunch.run(Array(words.dropFirst())))
case ConfinedLaunch.showWord: exit(ConfinedLaunch.show(Array(words.dropFirst())))
default: exit(2)
}
