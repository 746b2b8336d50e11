// SPDX-License-Identifier: Apache-2.0

extension Grammar {
    /// A machine's document: what may stand where, in the order in which it is printed. A level is two blanks; `@` marks
    /// an attribute; `^` an element that contains itself, as the one above of that name.
    package static let domain = Grammar(
        """
        domain @type @id @xmlns:qemu
          name
          uuid
          genid
          title
          description
          metadata
          maxMemory @slots @unit
          memory @dumpCore @unit
          currentMemory @unit
          blkiotune
            weight
            device
              path
              weight
              read_iops_sec
              write_iops_sec
              read_bytes_sec
              write_bytes_sec
          memtune
            hard_limit @unit
            soft_limit @unit
            min_guarantee
            swap_hard_limit @unit
          memoryBacking
            hugepages
              page @size @unit @nodeset
            nosharepages
            locked
            source @type
            access @mode
            allocation @mode @threads
            discard
          vcpu @placement @cpuset @current
          vcpus
            vcpu @id @enabled @hotpluggable @order
          iothreads
          iothreadids
            iothread @id @thread_pool_min @thread_pool_max
          defaultiothread @thread_pool_min @thread_pool_max
          cputune
            shares
            period
            quota
            global_period
            global_quota
            emulator_period
            emulator_quota
            iothread_period
            iothread_quota
            vcpupin @vcpu @cpuset
            emulatorpin @cpuset
            iothreadpin @iothread @cpuset
            vcpusched @vcpus @scheduler @priority
            iothreadsched @iothreads @scheduler @priority
            emulatorsched @scheduler @priority
            cachetune @vcpus
              cache @id @level @type @size @unit
            memorytune @vcpus
              node @id @bandwidth
              monitor @vcpus
          numatune
            memory @mode @placement @nodeset
            memnode @cellid @mode @nodeset
          resource
          sysinfo @type
            bios
              entry @name
            system
              entry @name
            baseBoard
              entry @name
            chassis
              entry @name
            oemStrings
              entry
            entry @name @file
          bootloader
          bootloader_args
          os @firmware
            type @arch @machine
            firmware
              feature @enabled @name
            init
            initarg
            initenv
            initdir
            inituser
            initgroup
            loader @readonly @secure @type @stateless
            nvram @type @template
              source @protocol @name @file
                host @name @port
                auth @username
                  secret @type @usage
            kernel
            initrd
            cmdline
            dtb
            root
            acpi
              table @type
            boot @dev
            bootmenu @enable @timeout
            bios @useserial @rebootTimeout
            smbios @mode
          idmap
            uid @start @target @count
            gid @start @target @count
          features
            acpi
            apic @eoi
            pae
            hap
            viridian
            privnet
            hyperv @mode
              relaxed @state
              vapic @state
              spinlocks @state @retries
              vpindex @state
              runtime @state
              synic @state
              stimer @state
                direct @state
              reset @state
              vendor_id @state @value
              frequencies @state
              reenlightenment @state
              tlbflush @state
              ipi @state
              evmcs @state
              avic @state
            kvm
              hidden @state
              hint-dedicated @state
              poll-control @state
              pv-ipi @state
              dirty-ring @state @size
            pvspinlock @state
            capabilities
            pmu @state
            vmport @state
            gic @version
            smm @state
              tseg @unit
            ioapic @driver
            hpt @resizing
              maxpagesize @unit
            vmcoreinfo @state
            htm @state
            nested-hv @state
            msrs
            ccf-assist @state
            xen
            cfpc @value
            sbbc @value
            ibs @value
            tcg
              tb-cache @unit
            async-teardown
          cpu @mode @match @check @migratable
            arch
            model @fallback @vendor_id
            vendor
            microcode
            signature
            counter
            topology @sockets @dies @cores @threads
            cache
            maxphysaddr
            feature @policy @name
            numa
              cell @id @cpus @memory @unit @memAccess @discard
                distances
                  sibling @id @value
                cache @level @associativity @policy
                  size @value @unit
                  line @value @unit
              interconnects
                latency @initiator @target @cache @type @value
                bandwidth @initiator @target @cache @type @value @unit
          clock @offset @adjustment @basis @timezone @start
            timer @name @present @tickpolicy @track @frequency @mode
              catchup @slew @threshold @limit
          on_poweroff
          on_reboot
          on_crash
          on_lockfailure
          pm
            suspend-to-mem @enabled
            suspend-to-disk @enabled
          perf
            event @name @enabled
          devices
            emulator
            disk @type @device @model @rawio @sgio @snapshot
              driver @name @type @cache @error_policy @rerror_policy @io @ioeventfd @event_idx @copy_on_read @discard @iothread @detect_zeroes @queues @queue_size @iommu @ats @packed @page_per_vq
                metadata_cache
                  max_size @unit
              auth @username
                secret @type @usage
              source @protocol @name @tls @tlsHostname @type @managed @namespace @file @fdgroup @dev @dir @pool @volume @mode @query @path @startupPolicy @index
                host @name @port @transport @socket
                snapshot @name
                config @file
                address
                initiator
                  iqn @name
                cookies
                  cookie @name
                readahead @size
                timeout @seconds
                reconnect @enabled @timeout
                identity @user @group
                ssl @verify
                slices
                  slice @type @offset @size
                seclabel @model @labelskip @relabel
                  label
                auth @username
                  secret @type @usage @uuid
                encryption @format @engine
                  secret @type @uuid @usage
                reservations @managed
                  source @type @path @mode
              backingStore @type @index
                format @type
                  metadata_cache
                    max_size @unit
                source @file @protocol @name @dev @fdgroup
                  host @name
                  identity @user @group
                  encryption @format @engine
                    secret @type @uuid
                  slices
                    slice @type @offset @size
                  seclabel @model @relabel
                    label
                backingStore ^
              backenddomain @name
              geometry @cyls @heads @secs @trans
              blockio @logical_block_size @physical_block_size
              mirror @type @file @format @job @ready
                format @type
                  metadata_cache
                    max_size @unit
                source @dev @file @index
                backingStore ^
              target @dev @bus @tray @removable @rotation_rate
              iotune
                total_bytes_sec
                read_bytes_sec
                write_bytes_sec
                total_iops_sec
                total_bytes_sec_max
                total_iops_sec_max
                total_bytes_sec_max_length
                total_iops_sec_max_length
                read_iops_sec
                write_iops_sec
                read_bytes_sec_max
                write_bytes_sec_max
                read_iops_sec_max
                write_iops_sec_max
                size_iops_sec
                read_bytes_sec_max_length
                write_bytes_sec_max_length
                read_iops_sec_max_length
                write_iops_sec_max_length
                group_name
              readonly
              shareable
              transient @shareBacking
              serial
              wwn
              vendor
              product
              encryption @format @engine
                secret @type @usage @uuid
              boot @order @loadparm
              alias
              master
              rom
              acpi @index
              address
            controller @type @index @model @ports @vectors
              pcihole64 @unit
              driver @queues @cmd_per_lun @max_sectors @ioeventfd @iothread @iommu @ats @packed @page_per_vq
              model @name
              target @chassisNr @chassis @port @busNr @index @hotplug
                node
              boot
              alias
              master @startport
              rom
              acpi
              address
            lease
              lockspace
              key
              target @path @offset
            filesystem @type @accessmode @model @multidevs @fmode @dmode
              driver @type @queue @wrpolicy @iommu @ats @packed @page_per_vq
              binary @path @xattr
                cache @mode
                sandbox @mode
                lock @posix @flock
                thread_pool @size
              source @dir @socket
              target @dir
              readonly
              space_hard_limit
              space_soft_limit
              boot @order
              alias
              master
              rom
              acpi
              address
            interface @type @managed @trustGuestRxFilters
              mac @address @type @check
              source @network @portgroup @portid @bridge @type @path @address @port @name @dev @mode @switchid
                local @address @port
                address
                ip @address @family @prefix @peer
                route @family @address @prefix @gateway
              vlan @trunk
                tag @id
              virtualport @type
                parameters @managerid @typeid @typeidversion @instanceid @interfaceid @profileid
              bandwidth
                inbound @floor @average @peak @burst
                outbound @average @peak @burst
              port @isolated
              ip @address @family @prefix
              route
              portForward @proto @address @dev
                range @start @end @to @exclude
              script @path
              downscript @path
              backenddomain @name
              target @dev @managed
              guest
              model @type
              driver @name @txmode @ioeventfd @event_idx @queues @rx_queue_size @tx_queue_size @rss @rss_hash_report @iommu @ats @packed @page_per_vq
                host @csum @gso @tso4 @tso6 @ecn @ufo @mrg_rxbuf
                guest @csum @tso4 @tso6 @ecn @ufo
              backend @tap @vhost @type @logFile
              filterref
              tune
              teaming @type @persistent
              link @state
              mtu @size
              coalesce
                rx
                  frames @max
              boot @order @loadparm
              alias
              master
              rom @bar @file @enabled
              acpi @index
              address
            smartcard @mode @type
              source @channel @mode @host @service @path
              protocol @type
              certificate
              database
              boot
              alias
              master
              rom
              acpi
              address
            serial @type @tty
              source @channel @mode @path @host @service @tls
                seclabel @model @relabel
              protocol @type
              log @file @append
              target @type @port
                model @name
              boot
              alias
              master
              rom
              acpi
              address
            parallel @type @tty
              source @channel @mode @path @host @service @tls
              protocol
              log
              target @port
              boot
              alias
              master
              rom
              acpi
              address
            console @type @tty
              source @channel @mode @path @host @service @tls
                seclabel @model @relabel
              protocol
              log
              target @type @port
              boot
              alias
              master
              rom
              acpi
              address
            channel @type @tty
              source @channel @mode @path @host @service @tls
                clipboard @copypaste
                mouse @mode
                reconnect @enabled @timeout
              protocol @type
              log
              target @type @name @state @address @port
              boot
              alias
              master
              rom
              acpi
              address
            input @type @bus
              driver @iommu @ats @packed @page_per_vq
              source @evdev @dev @grab @grabToggle @repeat
              boot
              alias
              master
              rom
              acpi
              address
            tpm @model
              backend @type @version @persistent_state
                encryption @secret
                active_pcr_banks
                  sha256
                  sha512
                device @path
                source @type @mode @path
              boot
              alias
              master
              rom
              acpi
              address
            graphics @type @socket @port @tlsPort @autoport @websocket @websocketGenerated @listen @keymap @defaultMode @sharePolicy @powerControl @passwd @passwdValidTo @connected @display @xauth @fullscreen @p2p @rendernode @address @replaceUser @multiUser
              listen @type @address @socket @network
              channel @name @mode
              image @compression
              jpeg @compression
              zlib @compression
              playback @compression
              streaming @mode
              mouse
              clipboard @copypaste
              filetransfer @enable
              gl @enable @rendernode
              audio @id
            sound @model
              audio @id
              codec @type
              boot
              alias
              master
              rom
              acpi
              address
            audio @id @type @timerPeriod @path @serverName @driver @tryMMap @exclusive @dspPolicy
              input @mixingEngine @fixedSettings @voices @bufferLength @dev @bufferCount @tryPoll @name @serverName @clientName @connectPorts @streamName @latency
                settings @frequency @channels @format
              output @mixingEngine @fixedSettings @voices @bufferLength @dev @bufferCount @tryPoll @name @serverName @clientName @connectPorts @streamName @latency
                settings @frequency @channels @format
            video
              driver @iommu @ats @packed @page_per_vq @name
              model @type @ram @vram @vram64 @vgamem @heads @primary
                acceleration @accel3d @rendernode
                resolution @x @y
              boot
              alias
              master
              rom
              acpi @index
              address
            hostdev @mode @type @managed @model @display @ramfb
              driver @name
              source @protocol @wwpn @name @guestReset
                adapter @name
                address
                host @name @port
                auth @username
                  secret @type @usage
                initiator
                  iqn @name
              teaming @type @persistent
              readonly
              shareable
              boot @order
              alias
              master
              rom @bar @file
              acpi
              address
            redirdev @bus @type
              source @channel @mode @host @service @path
              protocol @type
              boot
              alias
              master
              rom
              acpi
              address
            redirfilter
              usbdev @class @vendor @product @version @allow
            hub @type
              boot
              alias
              master
              rom
              acpi
              address
            watchdog @model @action
              boot
              alias
              master
              rom
              acpi
              address
            memballoon @model @autodeflate @freePageReporting
              stats @period
              boot
              alias
              master
              rom
              acpi
              address
              driver @iommu @ats @packed @page_per_vq
            rng @model
              rate @bytes @period
              backend @model @type
                source @mode @path @host @service
                protocol @type
              driver @iommu @ats @packed @page_per_vq
              boot
              alias
              master
              rom
              acpi
              address
            nvram
              boot
              alias
              master
              rom
              acpi
              address
            panic @model
              boot
              alias
              master
              rom
              acpi
              address
            shmem @name @role
              model @type
              size @unit
              server @path
              msi @vectors @ioeventfd
              boot
              alias
              master
              rom
              acpi
              address
            memory @model @access @discard
              uuid
              source
                path
                alignsize @unit
                pmem
                nodemask
                pagesize @unit
              target
                size @unit
                node
                readonly
                label
                  size @unit
                block @unit
                requested @unit
              boot
              alias
              master
              rom
              acpi
              address
            iommu @model
              driver @intremap @caching_mode @eim @iotlb @aw_bits
              boot
              alias
              master
              rom
              acpi
              address
            vsock @model
              cid @auto @address
              driver @iommu
              boot
              alias
              master
              rom
              acpi
              address
            crypto
          seclabel @type @model @relabel
            label
            imagelabel
            baselabel
          keywrap
          launchSecurity
          qemu:commandline
            qemu:arg @value
            qemu:env @name @value
          qemu:capabilities
            qemu:add @capability
            qemu:del @capability
          qemu:override
            qemu:device @alias
              qemu:frontend
                qemu:property @name @type @value
          qemu:deprecation @behavior
        address @type @domain @controller @bus @slot @function @target @unit @multifunction @port @reg @cssid @ssid @devno @iobase @irq @uuid @base @device
          zpci
        alias @name
        """)
}
