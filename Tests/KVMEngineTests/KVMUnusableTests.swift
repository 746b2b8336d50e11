// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostSystem
import KVMEngine
import Testing

/// Each way in which KVM can be unusable has a sentence of its own that says what to do.
@Suite struct KVMUnusableTests {
    private func refusal(_ change: (inout KVMFindings) -> Void) -> KVMUnusable? {
        var findings = KVMFindings()
        change(&findings)
        return findings.refusal
    }

    @Test func whatWorksIsNotRefused() { #expect(KVMFindings().refusal == nil) }

    @Test(arguments: [ENOENT, ENXIO, ENODEV]) func absentModule(error: Int32) {
        let found = refusal { $0.openError = Errno(error) }
        #expect(found?.reason == "/dev/kvm does not exist although the processor can virtualize")
        #expect(found?.remedy == "load its module: modprobe kvm-intel, or modprobe kvm-amd")
    }

    @Test func absentUnit() {
        let found = refusal {
            $0.openError = .noEntry
            $0.processorCanVirtualize = false
        }
        #expect(found?.reason == "/dev/kvm does not exist and the processor shows neither VT-x nor SVM")
        #expect(found?.remedy.hasPrefix("switch it on in the firmware's set-up") == true)
    }

    @Test(arguments: [EACCES, EPERM]) func noPermission(error: Int32) {
        let found = refusal { $0.openError = Errno(error) }
        #expect(
            found?.description
                == "no permission to open /dev/kvm; add yourself to its group (sudo usermod -aG kvm $USER) and log in again"
        )
    }

    @Test func heldByAnother() {
        let sentence = "another hypervisor holds the processor's virtualization unit; stop that one first"
        #expect(refusal { $0.openError = Errno(EBUSY) }?.description == sentence)
        #expect(refusal { $0.machineError = Errno(EBUSY) }?.description == sentence)
    }

    @Test func otherErrorsAreNamed() {
        #expect(refusal { $0.openError = Errno(EMFILE) }?.description == "cannot open /dev/kvm: Too many open files")
        #expect(
            refusal { $0.machineError = Errno(ENOMEM) }?.description
                == "KVM cannot make a machine: Cannot allocate memory")
    }

    @Test func wrongVersion() {
        #expect(
            refusal { $0.interfaceVersion = 11 }?.description
                == "/dev/kvm speaks interface version 11 where 12 is needed; update the host's kernel")
        #expect(
            refusal { $0.interfaceVersion = -1 }?.reason == "/dev/kvm is not the kernel's virtualization device")
    }

    @Test func nestedWithoutHardware() {
        let found = refusal { $0.isNestedWithoutHardware = true }
        #expect(found?.reason.contains("kvm_pvm") == true)
        #expect(found?.remedy.contains("-accel tcg") == true)
    }

    @Test func whatIsMissingIsNamed() {
        let found = refusal { $0.missing = ["immediate exit", "message-signalled interrupts"] }
        #expect(found?.description == "/dev/kvm lacks immediate exit; update the host's kernel")
    }

    /// What cannot be opened is not asked for its version, and a nested KVM is not blamed for what it lacks.
    @Test func theFirstCauseIsTold() {
        let found = refusal {
            $0.openError = .accessDenied
            $0.interfaceVersion = 0
            $0.isNestedWithoutHardware = true
            $0.missing = ["immediate exit"]
        }
        #expect(found?.reason == "no permission to open /dev/kvm")
        let nested = refusal {
            $0.isNestedWithoutHardware = true
            $0.missing = ["immediate exit"]
        }
        #expect(nested?.reason.contains("kvm_pvm") == true)
    }

    @Test func everySentenceIsOneLine() {
        for code in Int32(1)...133 {
            for found in [refusal { $0.openError = Errno(code) }, refusal { $0.machineError = Errno(code) }] {
                #expect(found?.description.contains("\n") == false && found?.reason.hasSuffix(".") == false)
            }
        }
    }
}
