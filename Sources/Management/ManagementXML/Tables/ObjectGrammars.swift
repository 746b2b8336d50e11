// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
public import XMLTree

// Documents other than machines', as the schemas of libvirt 9 have them, for clients that want them validated. The form is that
// of the machine's grammar.
extension Grammar {
    /// A virtual network.
    public static let network = Grammar(
        """
        network @ipv6 @trustGuestRxFilters @connections
          name
          uuid
          title
          description
          metadata
          forward @dev @managed @mode
            driver @name
            pf @dev
            interface @dev @connections
            address @type @domain @bus @slot @function
            nat @ipv6
              address @start @end
              port @start @end
          bridge @name @stp @delay @macTableManager @zone
          mtu @size
          mac @address
          domain @name @localOnly @register
          dns @enable @forwardPlainNames
            forwarder @addr @domain
            txt @name @value
            srv @service @protocol @domain @target @port @priority @weight
            host @ip
              hostname
          vlan @trunk
            tag @id @nativeMode
          virtualport @type
            parameters @managerid @typeid @typeidversion @instanceid @interfaceid @profileid
          port @isolated
          bandwidth
            inbound @average @peak @burst @floor
            outbound @average @peak @burst
          portgroup @name @default @trustGuestRxFilters
            bandwidth
              inbound @average @peak @burst @floor
              outbound @average @peak @burst
            vlan @trunk
              tag @id @nativeMode
            virtualport @type
              parameters @managerid @typeid @typeidversion @instanceid @interfaceid @profileid
            port @isolated
          ip @localPtr @address @netmask @prefix @family
            tftp @root
            dhcp
              range @start @end
                lease @expiry @unit
              host @id @mac @name @ip
                lease @expiry @unit
              bootp @file @server
          route @family @address @netmask @prefix @gateway @metric
        """)

    /// A storage pool.
    public static let pool = Grammar(
        """
        pool @type
          name
          uuid
          capacity @unit
          allocation @unit
          available @unit
          features
            cow @state
          source
            host @name @port
            device @path @part_separator
              freeExtent @start @end
            dir @path
            adapter @type @name @parent @parent_wwnn @parent_wwpn @parent_fabric_wwn @managed @wwnn @wwpn
              parentaddr @unique_id
                address @domain @bus @slot @function
            name
            initiator
              iqn @name
            auth @type @username
              secret @type @usage @uuid
            format @type
            protocol @ver
            vendor @name
            product @name
          target
            path
            permissions
              mode
              owner
              group
              label
            encryption @format
          refresh
            volume @allocation
        """)

    /// A volume.
    public static let volume = Grammar(
        """
        volume @type
          name
          key
          source
            device @path
              extent @start @end
          capacity @unit
          allocation @unit
          physical @unit
          target
            path
            format @type
            permissions
              mode
              owner
              group
              label
            timestamps
              atime
              mtime
              ctime
              btime
            encryption @format
              secret @type @uuid @usage
              cipher @name @size @mode @hash
              ivgen @name @hash
            compat
            nocow
            clusterSize @unit
            features
              lazy_refcounts
              extended_l2
          backingStore
            path
            format @type
            permissions
              mode
              owner
              group
              label
            timestamps
              atime
              mtime
              ctime
              btime
        """)

    /// A secret.
    public static let secret = Grammar(
        """
        secret @ephemeral @private
          description
          uuid
          usage @type
            volume
            name
            target
        """)

    /// A network filter; what a rule's protocol says is checked where the filter is read.
    public static let networkFilter = Grammar(
        """
        filter @name @chain @priority
          uuid
          filterref @filter
            parameter @name @value
          rule @action @direction @priority @statematch
            mac
            vlan
            stp
            arp
            rarp
            ip
            ipv6
            tcp
            tcp-ipv6
            udp
            udp-ipv6
            udplite
            udplite-ipv6
            sctp
            sctp-ipv6
            icmp
            icmpv6
            igmp
            esp
            esp-ipv6
            ah
            ah-ipv6
            all
            all-ipv6
        """)

    /// Refuses a document with elements or attributes that are not declared. One of another kind is left to whoever reads it.
    /// - Parameter schema: how libvirt's file is called.
    /// - Throws: libvirt's error.
    public func validate(_ document: XMLElement, schema: String) throws {
        guard document.name == rootName, let unknown = unknown(in: document) else { return }
        throw ManagementError(
            .xmlInvalidSchema, "Unable to validate doc against \(schema)\nDid not expect \(unknown) there", from: .none)
    }
}
