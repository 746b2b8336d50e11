// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

// Input devices, displays and what they show.
extension DomainBuilder {
    func completeInput(_ input: inout XMLElement) {
        let type = input["type"] ?? ""
        if input["bus"] == nil {
            if type == "passthrough" {
                input["bus"] = "virtio"
            } else if type == "evdev" {
                input["bus"] = nil
            } else {
                input["bus"] = type == "tablet" ? "usb" : "ps2"
            }
        }
    }

    static func completeGraphics(_ graphics: inout XMLElement) {
        let type = graphics["type"] ?? ""
        graphics["connected"] = graphics["connected"]
        guard type == "vnc" || type == "spice" || type == "rdp" else { return }
        let listens = graphics.all("listen")
        let isSocket = graphics["socket"] != nil || listens.first?["type"] == "socket"
        if graphics["socket"] != nil {
            graphics[child: "listen"] = XMLElement("listen", ["type": "socket", "socket": graphics["socket"]])
        } else if listens.isEmpty && type == "spice" && graphics["listen"] == nil && graphics["port"] == nil
            && graphics["tlsPort"] == nil && graphics["autoport"] != "yes"
        {
            graphics[child: "listen"] = XMLElement("listen", ["type": "none"])
            graphics["autoport"] = nil
            return
        } else if listens.isEmpty {
            graphics[child: "listen"] = XMLElement("listen", ["type": "address", "address": graphics["listen"]])
        }
        if listens.first?["type"] == "socket", type == "vnc" {
            graphics["socket"] = listens.first?["socket"] ?? graphics["socket"]
        }
        if listens.first?["type"] == "none" && type == "spice" { graphics["autoport"] = nil }
        guard !isSocket, listens.first?["type"] != "none" else { return }
        if graphics["autoport"] == "yes" || graphics["port"] == nil || graphics["port"] == "-1" {
            let hasOtherPort =
                type == "spice"
                && (graphics["port"].map { $0 != "-1" } ?? false || graphics["tlsPort"].map { $0 != "-1" } ?? false)
            if !hasOtherPort || graphics["autoport"] == "yes" {
                graphics["autoport"] = "yes"
                if type == "spice" {
                    graphics["port"] = nil
                    graphics["tlsPort"] = nil
                } else {
                    graphics["port"] = "-1"
                }
            }
        } else if graphics["autoport"] == nil {
            graphics["autoport"] = "no"
        }
        if let address = graphics[child: "listen"]?["address"], graphics["listen"] == nil {
            graphics["listen"] = address
        }
    }

    static func completeFilesystem(_ filesystem: inout XMLElement) {
        if filesystem["type"] == nil { filesystem["type"] = "mount" }
        if filesystem["accessmode"] == nil { filesystem["accessmode"] = "passthrough" }
    }

    // MARK: Videos

    private static let videoMemory = "16384"

    mutating func completeVideos() {
        if count("video") == 0 && count("graphics") > 0 {
            devices.append(XMLElement("video", [:], [XMLElement("model")]))
        }
        let facts = self
        var isFirst = true
        change("video") { video in
            var model = video[child: "model"] ?? XMLElement("model")
            if model["type"] == nil || model["type"] == "default" {
                model["type"] = facts.has("cirrus-vga") ? "cirrus" : "vga"
            }
            let type = model["type"] ?? ""
            if type != "none" {
                switch type {
                case "qxl":
                    if model["ram"] == nil { model["ram"] = "65536" }
                    if model["vram"] == nil { model["vram"] = "65536" }
                    if model["vgamem"] == nil { model["vgamem"] = Self.videoMemory }
                case "vga", "cirrus", "vmvga", "bochs":
                    if model["vram"] == nil { model["vram"] = Self.videoMemory }
                default: break
                }
                if model["heads"] == nil { model["heads"] = "1" }
                model["primary"] = isFirst ? "yes" : nil
            }
            isFirst = false
            video[child: "model"] = model
        }
        let videos = devices.filter { $0.name == "video" }
        if let primary = videos.firstIndex(where: { $0[child: "model"]?["primary"] == "yes" }), primary > 0 {
            devices.removeAll { $0.name == "video" }
            devices += [videos[primary]] + videos.enumerated().filter { $0.offset != primary }.map(\.element)
        }
    }
}
