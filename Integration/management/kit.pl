#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# What an application may rely on, step by step through Perl's binding: kit.pl URI FOLDER HOST-PATH EMULATOR. FOLDER is where
# the daemon keeps volumes, HOST-PATH the same as this process sees it. Says "ok" or "not ok" for each step, as prove wants it.
use strict;
use warnings;
use Sys::Virt;
use Test::More;
$| = 1;

my ($uri, $folder, $here, $emulator) = @ARGV;
my $c = Sys::Virt->new(uri => $uri);
my $U1 = "11111111-1111-4111-8111-111111111111";
my $U2 = "22222222-1111-4111-8111-111111111111";
use constant { NO_DOMAIN => 42, NO_NETWORK => 43, NO_POOL => 49, NO_VOLUME => 50, INVALID => 55, UNSUPPORTED => 84 };

# fails WHAT, CODE, SUB: the step must be refused, with that code unless it is 0.
sub fails {
    my ($what, $code, $step) = @_;
    eval { $step->(); };
    my $found = ref($@) && $@->isa("Sys::Virt::Error") ? $@->code : -1;
    ok($found > 0 && ($code == 0 || $found == $code), $what) or diag("code $found: $@");
}

sub lives {
    my ($what, $step) = @_;
    my $value = eval { $step->(); };
    ok(!$@, $what) or diag($@);
    return $value;
}

sub gone { my ($name) = @_; fails("$name is gone", NO_DOMAIN, sub { $c->get_domain_by_name($name) }); }
sub quiet { my ($step) = @_; eval { $step->(); }; }

sub machine {
    my ($name, %with) = @_;
    my $uuid = $with{uuid} ? "<uuid>$with{uuid}</uuid>" : "";
    my $more = $with{devices} // "";
    my $reboot = $with{on_reboot} ? "<on_reboot>$with{on_reboot}</on_reboot>" : "";
    my $system = $with{os} // "";
    return "<domain type='qemu'><name>$name</name>$uuid<memory>65536</memory><vcpu>2</vcpu>"
        . "<os><type arch='x86_64' machine='pc'>hvm</type>$system</os>$reboot<features><acpi/><apic/></features><devices>"
        . "<emulator>$emulator</emulator><disk type='file'><driver name='qemu' type='raw'/><source file='$folder/root.img'/>"
        . "<target dev='hda' bus='ide'/></disk>$more<console type='pty'/></devices></domain>";
}

sub blank { my ($name, $mib) = @_; open(my $f, ">", "$here/$name") or die; truncate($f, $mib << 20); close $f; chmod 0666, "$here/$name"; }
blank("root.img", 16);

# A section ends where something fails that the rest of it needs.
sub broken { fail("the rest of a section") or diag($_[0]); for my $left ($c->list_all_domains) { quiet(sub { $left->destroy }); quiet(sub { $left->undefine(Sys::Virt::Domain::UNDEFINE_MANAGED_SAVE | Sys::Virt::Domain::UNDEFINE_SNAPSHOTS_METADATA) }) } }

my ($d, $p, $v, $n, $f, $s, $base, $over, $full, $path, $sum, $data, $first, $second, $two, $before, $card, $plain, $whole, $snapdisk);

eval {
    note "life of a transient machine";
$d = lives("create", sub { $c->create_domain(machine("kit")) });
ok($d->get_id > 0, "a running machine has a number");
is($c->get_domain_by_name("kit")->get_uuid_string, $d->get_uuid_string, "found by name");
is($c->get_domain_by_id($d->get_id)->get_name, "kit", "found by number");
ok(!$d->get_autostart, "a transient machine does not start by itself");
fails("autostart of a transient machine", INVALID, sub { $d->set_autostart(1) });
ok(!$d->is_persistent, "it is transient");
fails("undefine of a transient machine", INVALID, sub { $d->undefine });
ok(-f "/run/libvirt/qemu/kit.pid" || -f "$here/../../_run_libvirt/qemu/kit.pid", "its process is named in a file");
lives("destroy", sub { $d->destroy });
gone("kit");
fails("destroy twice", NO_DOMAIN, sub { $d->destroy });

    1;
} or broken($@);

eval {
    note "life of a persistent machine";
$d = lives("define", sub { $c->define_domain(machine("kit", uuid => $U1, on_reboot => "restart")) });
is($d->get_id, -1, "a machine at rest has no number");
$d = lives("define again", sub { $c->define_domain(machine("kit", uuid => $U1, on_reboot => "destroy")) });
like($d->get_xml_description, qr{<on_reboot>destroy}, "the newer definition counts");
for my $round (1, 2) {
    ok(!$d->get_autostart, "autostart is off ($round)");
    lives("autostart on ($round)", sub { $d->set_autostart(1) });
    ok($d->get_autostart, "autostart is on ($round)");
    lives("autostart off ($round)", sub { $d->set_autostart(0) });
    lives("start", sub { $d->create }) if $round == 1;
}
lives("define while it runs", sub { $c->define_domain(machine("kit", uuid => $U1, on_reboot => "restart")) });
like($d->get_xml_description, qr{<on_reboot>destroy}, "the running machine keeps its settings");
like($d->get_xml_description(Sys::Virt::Domain::XML_INACTIVE), qr{<on_reboot>restart}, "the next start has the new ones");
fails("start twice", INVALID, sub { $d->create });
lives("undefine while it runs", sub { $d->undefine });
ok(!$d->is_persistent, "then it is transient");
lives("define from the live document", sub { $c->define_domain($d->get_xml_description) });
ok($d->is_persistent, "then it is persistent again");
lives("destroy", sub { $d->destroy });
is($c->get_domain_by_name("kit")->get_id, -1, "it is still defined");

    1;
} or broken($@);

eval {
    note "at rest much is refused";
my %refused = (
    block_stats => sub { $d->block_stats("hda") }, core_dump => sub { $d->core_dump("$folder/core", 0) },
    destroy => sub { $d->destroy }, interface_stats => sub { $d->interface_stats("vnet0") },
    memory_peek => sub { $d->memory_peek(0, 100, Sys::Virt::Domain::MEMORY_PHYSICAL) }, reboot => sub { $d->reboot(0) },
    save => sub { $d->save("$folder/kit.save") }, shutdown => sub { $d->shutdown }, suspend => sub { $d->suspend },
    resume => sub { $d->resume }, reset => sub { $d->reset }, managed_save => sub { $d->managed_save },
    send_key => sub { $d->send_key(0, 0, [1]) }, get_job_info => sub { die Sys::Virt::Error->new if 0; $d->inject_nmi },
);
fails("$_ at rest", INVALID, $refused{$_}) for sort keys %refused;
lives("undefine", sub { $d->undefine });
gone("kit");

    1;
} or broken($@);

eval {
    note "names and UUIDs are unique";
my %document = (
    same => machine("kit1", uuid => $U1), name => machine("kit1", uuid => $U2),
    uuid => machine("kit2", uuid => $U1), neither => machine("kit2", uuid => $U2));
blank("other.img", 16);
$document{neither} =~ s/root.img/other.img/;
$d = lives("define the first", sub { $c->define_domain($document{same}) });
for my $state ("at rest", "running") {
    $d->create if $state eq "running";
    for my $way ("define", "create") {
        my $make = $way eq "define" ? sub { $c->define_domain($_[0]) } : sub { $c->create_domain($_[0]) };
        fails("$way: same name, other UUID, $state", 9, sub { $make->($document{name}) });
        fails("$way: same UUID, other name, $state", 9, sub { $make->($document{uuid}) });
        my $other = lives("$way: both differ, $state", sub { $make->($document{neither}) });
        quiet(sub { $way eq "define" ? $other->undefine : $other->destroy });
        gone("kit2");
        if ($way eq "create" && $state eq "running") {
            fails("create: the same, running", INVALID, sub { $make->($document{same}) });
        } else {
            lives("$way: the same, $state", sub { $make->($document{same}) });
            $d->destroy if $way eq "create";
        }
    }
}
$d->destroy; $d->undefine;
$first = $c->create_domain($document{same});
$first->destroy;
$second = $c->create_domain($document{name});
is($second->get_uuid_string, $U2, "a handle that is held does not lend its UUID");
$second->destroy;

    1;
} or broken($@);

eval {
    note "saving and restoring";
for my $kind ("transient", "persistent") {
    my $file = "$folder/kit.save";
    unlink "$here/kit.save";
    $d = $kind eq "transient" ? $c->create_domain(machine("kit")) : $c->define_domain(machine("kit"));
    $d->create if $kind eq "persistent";
    lives("save, $kind", sub { $d->save($file) });
    if ($kind eq "transient") { gone("kit") } else { is($d->get_id, -1, "saved means at rest") }
    my $document = lives("document of the file", sub { $c->get_save_image_xml_description($file, 0) }) // "";
    $document =~ s/<on_reboot>\w+/<on_reboot>destroy/;
    lives("change it", sub { $c->define_save_image_xml($file, $document, 0) });
    like($c->get_save_image_xml_description($file, 0), qr{<on_reboot>destroy}, "it is changed");
    lives("restore, $kind", sub { $c->restore_domain($file) });
    $d = lives("it is there again", sub { $c->get_domain_by_name("kit") });
    ok($d->get_id > 0, "and runs");
    fails("restore twice", INVALID, sub { $c->restore_domain($file) });
    $d->destroy;
    $d->undefine if $kind eq "persistent";
    gone("kit");
}
{
    my $size = -s "$here/kit.save";
    truncate("$here/kit.save", $size - (512 << 10));
    fails("restore of a file cut short", 0, sub { $c->restore_domain("$folder/kit.save") });
    quiet(sub { sleep 1; $c->get_domain_by_name("kit")->destroy });
    blank("kit.save", 1);
    fails("document of a file that is none", 9, sub { $c->get_save_image_xml_description("$folder/kit.save", 0) });
}
$d = $c->define_domain(machine("kit"));
$d->create;
lives("managed save", sub { $d->managed_save });
ok($d->has_managed_save_image, "there is an image");
fails("undefine with a saved image", INVALID, sub { $d->undefine });
lives("start from it", sub { $d->create });
ok(!$d->has_managed_save_image, "the image is used up");
$d->destroy;

    1;
} or broken($@);

eval {
    note "memory and processors";
lives("largest memory at rest", sub { $d->set_max_memory(131072) });
is($d->get_max_memory, 131072, "is kept");
fails("live memory at rest", INVALID, sub { $d->set_memory(65536, Sys::Virt::Domain::MEM_LIVE) });
lives("memory of the definition", sub { $d->set_memory(98304, Sys::Virt::Domain::MEM_CONFIG) });
is($d->get_info->{memory}, 98304, "is kept");
$d->create;
fails("largest memory while it runs", INVALID, sub { $d->set_max_memory(262144) });
lives("memory of the definition while it runs", sub { $d->set_memory(81920, Sys::Virt::Domain::MEM_CONFIG) });
is($d->get_info->{memory}, 98304, "does not change the running machine");
fails("no processors", 0, sub { $d->set_vcpus(0) });
fails("too many processors", 0, sub { $d->set_vcpus(64) });
$d->destroy;
is($d->get_info->{memory}, 81920, "counts from the next start");
lives("largest memory by flag", sub { $d->set_memory(114688, Sys::Virt::Domain::MEM_MAXIMUM) });
is($d->get_info->{maxMem}, 114688, "is kept");
lives("processors of the definition", sub { $d->set_vcpus(1, Sys::Virt::Domain::VCPU_CONFIG) });
is($d->get_vcpus(Sys::Virt::Domain::VCPU_CONFIG), 1, "are kept");
$d->undefine;

    1;
} or broken($@);

eval {
    note "limits";
$d = $c->create_domain(machine("kit", devices =>
    "<interface type='user'><mac address='52:54:00:22:22:22'/><model type='virtio'/></interface>"));
ok($d->migrate_get_max_speed > 0, "a speed of moving");
lives("is set", sub { $d->migrate_set_max_speed(10000) });
is($d->migrate_get_max_speed, 10000, "and kept");
is(($d->get_scheduler_type)[0], "posix", "scheduler");
lives("limits of a disk", sub { $d->set_block_iotune("hda", { "total_iops_sec" => 500 }) });
is($d->get_block_iotune("hda")->{total_iops_sec}, 500, "are kept");
fails("limits that exclude each other", 0, sub { $d->set_block_iotune("hda", { total_iops_sec => 5, read_iops_sec => 5 }) });
$d->destroy;
$d = $c->define_domain(machine("kit"));
lives("shares and quota", sub { $d->set_scheduler_parameters({ cpu_shares => 3, vcpu_period => 999999, vcpu_quota => 999999 }) });
is($d->get_scheduler_parameters->{vcpu_quota}, 999999, "are kept");
fails("a period too short", 0, sub { $d->set_scheduler_parameters({ vcpu_period => 1 }) });
lives("memory's nodes", sub { $d->set_numa_parameters({ numa_nodeset => "0", numa_mode => 0 }, Sys::Virt::Domain::AFFECT_CONFIG) });
is($d->get_numa_parameters(Sys::Virt::Domain::AFFECT_CONFIG)->{numa_nodeset}, "0", "are kept");
$d->undefine;

    1;
} or broken($@);

eval {
    note "devices that come and go";
$d = $c->create_domain(machine("kit", devices => "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>"
    . "<controller type='scsi' model='virtio-scsi'/>"));
$before = $d->get_xml_description;
for my $mac ("02:11:22:33:44:55", "02:12:22:33:44:55", "02:13:22:33:44:55") {
    lives("attach $mac", sub { $d->attach_device("<interface type='user'><mac address='$mac'/><model type='virtio'/></interface>") });
    like($d->get_xml_description, qr{$mac}, "$mac is there");
}
fails("the same address twice", 0, sub { $d->attach_device(
    "<interface type='user'><mac address='02:11:22:33:44:55'/><model type='virtio'/></interface>") }) if 0;
fails("detach what is not there", 99, sub { $d->detach_device("<interface type='user'><mac address='02:99:22:33:44:55'/></interface>") });
for my $name ("vdb", "sda", "sdc", "vdc", "sdb") {
    blank("extra-$name.img", 10); blank("medium-$name.img", 10);
    lives("attach $name", sub { $d->attach_device(
        "<disk type='file'><source file='$folder/extra-$name.img'/><target dev='$name'/></disk>") });
}
my @names = $d->get_xml_description =~ m{<target dev='(\w+)'}g;
is("@names", "hda hdc vdb vdc sda sdb sdc", "disks in their order");
fails("a target twice", 0, sub { $d->attach_device(
    "<disk type='file'><source file='$folder/extra-vdb.img'/><target dev='vdb'/></disk>") });
for my $medium (["medium-vdb.img"], [""], ["medium-vdc.img"]) {
    my $source = $medium->[0] ? "<source file='$folder/$medium->[0]'/>" : "";
    lives("medium '$medium->[0]'", sub { $d->update_device(
        "<disk type='file' device='cdrom'>$source<target dev='hdc' bus='ide'/></disk>") });
    my ($cd) = $d->get_xml_description =~ m{(<disk type='file' device='cdrom'>.*?</disk>)}s;
    $medium->[0] ? like($cd, qr{$medium->[0]}, "is in the drive") : unlike($cd, qr{<source}, "the drive is empty");
}
lives("medium by attach", sub { $d->attach_device(
    "<disk type='file' device='cdrom'><source file='$folder/medium-sda.img'/><target dev='hdc'/></disk>") });
is($d->get_block_info("vdb", 0)->{capacity}, 10 << 20, "size of a disk");
lives("resize", sub { $d->block_resize("vdb", 20 << 10) });
is(-s "$here/extra-vdb.img", 20 << 20, "the file is larger");
is($d->get_block_info("$folder/extra-vdb.img", 0)->{capacity}, 20 << 20, "a disk named by its path");
is(length($d->block_peek("$folder/root.img", 0, 16, 0)), 16, "a look into a disk");
ok(defined $d->block_stats("hda")->{rd_req}, "statistics of a disk");
ok(exists $d->memory_stats->{8} || scalar(keys %{$d->memory_stats}) > 0, "statistics of memory");
$d->destroy;

    1;
} or broken($@);

eval {
    note "pools";
sub pool { "<pool type='dir'><name>$_[0]</name>" . ($_[1] ? "<uuid>$_[1]</uuid>" : "") . "<target><path>$folder/$_[0]</path></target></pool>"; }
$p = lives("define", sub { $c->define_storage_pool(pool("kit", $U1)) });
fails("$_->[0] at rest", INVALID, $_->[1]) for (
    [destroy => sub { $p->destroy }], [refresh => sub { $p->refresh }], [list_volumes => sub { $p->list_volumes }],
    [create_volume => sub { $p->create_volume("<volume><name>a</name><capacity>1</capacity></volume>") }]);
fails("start without a folder", 0, sub { $p->create });
lives("build", sub { $p->build(0) });
ok(-d "$here/kit", "the folder is there");
lives("start", sub { $p->create });
fails("start twice", INVALID, sub { $p->create });
fails("define: same name, other UUID", 9, sub { $c->define_storage_pool(pool("kit", $U2)) });
fails("define: same UUID, other name", 9, sub { $c->define_storage_pool(pool("kit2", $U1)) });
fails("define: same folder", 9, sub { $c->define_storage_pool("<pool type='dir'><name>kit3</name><target><path>$folder/kit</path></target></pool>") });
lives("define: the same", sub { $c->define_storage_pool(pool("kit", $U1)) });
is($c->get_storage_pool_by_uuid(join("", map { chr hex } $U1 =~ m{[0-9a-f]{2}}g))->get_name, "kit", "found by UUID");
lives("autostart", sub { $p->set_autostart(1) });
ok($p->get_autostart, "is on");
fails("delete while it runs", INVALID, sub { $p->delete(0) });
fails("undefine while it runs", INVALID, sub { $p->undefine });

    1;
} or broken($@);

eval {
    note "volumes";
sub volume { my ($name, $format, $size, $rest) = @_;
    "<volume><name>$name</name><capacity>$size</capacity>" . ($rest // "") . "<target><format type='$format'/></target></volume>"; }
$v = lives("sparse raw", sub { $p->create_volume(volume("sparse", "raw", 50 << 20, "<allocation>0</allocation>")) });
$path = "$here/kit/sparse";
is(-s $path, 50 << 20, "its size");
ok((stat $path)[12] < 16, "takes no room");
is($v->get_path, "$folder/kit/sparse", "its path");
is($v->get_key, $v->get_path, "its key");
is($c->get_storage_volume_by_path($v->get_path)->get_name, "sparse", "found by path");
is($c->get_storage_volume_by_key($v->get_key)->get_name, "sparse", "found by key");
fails("the same name again", 90, sub { $p->create_volume(volume("sparse", "raw", 1 << 20)) });
$full = lives("whole raw", sub { $p->create_volume(volume("full", "raw", 20 << 20, "<allocation>20971520</allocation>")) });
ok((stat "$here/kit/full")[12] * 512 >= 20 << 20, "takes its room");
for my $format ("qcow2", "vmdk", "vpc", "vdi", "qcow") {
    my $step = sub { $p->create_volume(volume("v.$format", $format, 50 << 20))->delete(0) };
    lives("$format made and removed", $step);
}
fails("a format that there is not", 0, sub { $p->create_volume(volume("bad", "foo", 1)) });
{ open(my $f, ">", "$here/kit/stranger"); print $f "x" x 4096; close $f; }
fails("a file that came by itself", NO_VOLUME, sub { $p->get_volume_by_name("stranger") });
lives("refresh", sub { $p->refresh });
is(lives("then it is known", sub { $p->get_volume_by_name("stranger") })->get_info->{capacity}, 4096, "with its size");
{ open(my $f, "+<", $path); for (0 .. 15) { print $f join("", map { chr(($_ * 7 + $. // 0) & 255) } 0 .. 4095); } close $f; }
sub sum { my $s = `md5sum < $_[0]`; $s =~ s/ .*//s; $s }
$sum = sum($path);
for my $format ("raw", "qcow2", "vmdk") {
    my $clone = lives("clone to $format", sub { $p->clone_volume(volume("clone", $format, 50 << 20), $v) });
    my $back = lives("and back", sub { $p->clone_volume(volume("back", "raw", 50 << 20), $clone) });
    is(sum("$here/kit/back"), $sum, "nothing is lost through $format");
    quiet(sub { $clone->delete(0) }); quiet(sub { $back->delete(0) });
}
$base = lives("base", sub { $p->create_volume(volume("base", "qcow2", 30 << 20)) });
$over = lives("over it", sub { $p->create_volume(volume("over", "qcow2", 50 << 20,
    "<backingStore><path>$folder/kit/base</path><format type='qcow2'/></backingStore>")) });
like($over->get_xml_description, qr{<path>$folder/kit/base</path>}, "knows what it is over");
lives("resize", sub { $over->resize(60 << 20, 0) });
is($over->get_info->{capacity}, 60 << 20, "is larger");
fails("smaller without saying so", 0, sub { $over->resize(1 << 20, 0) });
lives("wipe", sub { $full->wipe(0) });

    1;
} or broken($@);

eval {
    note "streams";
sub upload { my ($vol, $data, $offset, $sparse) = @_;
    my $s = $c->new_stream;
    $vol->upload($s, $offset, length $data, 0);
    my $at = 0;
    while ($at < length $data) {
        my $part = substr($data, $at, 65536);
        $at += $s->send($part, length $part);
    }
    $s->finish;
}
sub download { my ($vol, $offset, $length) = @_;
    my $s = $c->new_stream;
    $vol->download($s, $offset, $length, 0);
    my $all = "";
    while (1) { my $n = $s->recv(my $part, 65536); last if $n <= 0; $all .= substr($part, 0, $n); }
    $s->finish;
    return $all;
}
$data = join("", map { chr(($_ * 31 >> 3) & 255) } 0 .. 300000);
lives("upload", sub { upload($v, $data, 4096) });
ok(lives("download", sub { download($v, 4096, length $data) }) eq $data, "what came is what went");
is(length(download($v, (50 << 20) - 100, 0)), 100, "to the end");
lives("download with holes", sub {
    my $s = $c->new_stream;
    $v->download($s, 0, 0, Sys::Virt::StorageVol::VOL_DOWNLOAD_SPARSE_STREAM);
    my ($bytes, $holes) = (0, 0);
    $s->sparse_recv_all(sub { my ($st, $part, $n) = @_; $bytes += $n; return $n; }, sub { my ($st, $n) = @_; $holes += $n; return 0; });
    $s->finish;
    is($bytes + $holes, 50 << 20, "bytes and holes together are the volume");
    ok($holes > 40 << 20, "most of it is hole");
});
lives("abort a stream", sub { my $s = $c->new_stream; $v->download($s, 0, 0, 0); $s->recv(my $part, 10); $s->abort });
lives("the connection goes on", sub { $c->get_hostname });
lives("remove", sub { $_->delete(0) }) for ($v, $full, $over, $base);
fails("remove twice", NO_VOLUME, sub { $base->delete(0) });
lives("stop", sub { $p->destroy });
lives("remove the folder", sub { unlink "$here/kit/stranger"; $p->delete(0) });
lives("undefine", sub { $p->undefine });
fails("it is gone", NO_POOL, sub { $c->get_storage_pool_by_name("kit") });
mkdir "$here/kitt"; chmod 0755, "$here/kitt";
$p = lives("transient", sub { $c->create_storage_pool(pool("kitt")) });
fails("autostart of a transient pool", 1, sub { $p->set_autostart(1) });
lives("persistent by definition", sub { $c->define_storage_pool($p->get_xml_description) });
lives("stop", sub { $p->destroy });
lives("undefine", sub { $p->undefine });

    1;
} or broken($@);

eval {
    note "disks over others, jobs";
system("qemu-img create -q -f raw $here/last.img 8M && qemu-img create -q -f qcow2 -b $folder/last.img -F raw $here/back.img 2>/dev/null"
    . " || qemu-img create -q -f qcow2 -u -b $folder/last.img -F raw $here/back.img 8M");
system("dd if=/dev/urandom of=$here/fill.raw bs=1M count=8 status=none; qemu-img convert -O qcow2 $here/fill.raw $here/back.img;"
    . " qemu-img create -q -f qcow2 -u -b $folder/back.img -F qcow2 $here/main.img 8M; chmod 666 $here/*.img");
$d = lives("a machine with a chain", sub { $c->create_domain(machine("kit", devices =>
    "<disk type='file'><driver name='qemu' type='qcow2'/><source file='$folder/main.img'/><target dev='vdb' bus='virtio'/></disk>")) });
like($d->get_xml_description, qr{<backingStore type='file'[^>]*>\s*<format type='qcow2'/>\s*<source file='$folder/back.img'}, "the chain is shown");
{
    lives("pull, slowly", sub { $d->block_pull("$folder/main.img", 1, 0) });
    is($d->get_block_job_info("$folder/main.img", 0)->{bandwidth}, 1, "its speed");
    is($d->get_block_job_info("vdb", 0)->{type}, Sys::Virt::Domain::BLOCK_JOB_TYPE_PULL, "its kind");
    fails("a second job", 0, sub { $d->block_pull("vdb", 1, 0) });
    lives("another speed", sub { $d->set_block_job_speed("$folder/main.img", 2, 0) });
    is($d->get_block_job_info("$folder/main.img", 0)->{bandwidth}, 2, "it goes at");
    is($d->get_block_job_info("vdb", Sys::Virt::Domain::BLOCK_JOB_INFO_BANDWIDTH_BYTES)->{bandwidth}, 2 << 20, "in bytes");
    lives("give up", sub { $d->abort_block_job("$folder/main.img", 0) });
    is($d->get_block_job_info("vdb", 0)->{type} // 0, 0, "no job is left");
    lives("pull", sub { $d->block_pull("vdb", 0, 0) });
    for (1 .. 100) { last unless ($d->get_block_job_info("vdb", 0)->{type} // 0); select(undef, undef, undef, 0.1); }
    select(undef, undef, undef, 0.5);
    unlike($d->get_xml_description, qr{back.img}, "nothing is behind it any more");
    fails("give up what is not", 0, sub { $d->abort_block_job("vdb", 0) });
}
$d->destroy;

    1;
} or broken($@);

eval {
    note "networks";
sub network { my ($name, $uuid, $rest, $inner) = @_;
    "<network><name>$name</name>" . ($uuid ? "<uuid>$uuid</uuid>" : "") . "<bridge name='kitbr$name'/>" . ($rest // "")
    . "<ip address='192.168.141.1' netmask='255.255.255.0'>" . ($inner // "<dhcp><range start='192.168.141.2' end='192.168.141.99'/></dhcp>")
    . "</ip></network>"; }
$n = lives("transient", sub { $c->create_network(network("t")) });
ok($n->is_active && !$n->is_persistent, "runs, undefined");
fails("autostart of a transient network", INVALID, sub { $n->set_autostart(1) });
lives("persistent by definition", sub { $c->define_network($n->get_xml_description) });
ok($n->is_persistent, "is persistent");
lives("stop", sub { $n->destroy });
fails("stop twice", INVALID, sub { $n->destroy });
lives("undefine", sub { $n->undefine });
fails("it is gone", NO_NETWORK, sub { $c->get_network_by_name("t") });
$n = lives("define", sub { $c->define_network(network("a", $U1)) });
fails("define: same name, other UUID", 9, sub { $c->define_network(network("a", $U2)) });
fails("define: same UUID, other name", 9, sub { $c->define_network(network("b", $U1)) });
lives("start", sub { $n->create });
fails("start twice", INVALID, sub { $n->create });
fails("the same bridge", 0, sub { my $x = network("b", $U2); $x =~ s/kitbrb/kitbra/; $c->create_network($x) });
is($n->get_bridge_name, "kitbra", "its bridge");
lives("autostart", sub { $n->set_autostart(1) });
ok($n->get_autostart, "is on");
is_deeply([$n->get_dhcp_leases], [], "nobody has an address yet");
lives("a host more", sub { $n->update(Sys::Virt::Network::UPDATE_COMMAND_ADD_LAST, Sys::Virt::Network::SECTION_IP_DHCP_HOST, -1,
    "<host mac='52:54:00:aa:00:01' ip='192.168.141.50'/>",
    Sys::Virt::Network::UPDATE_AFFECT_LIVE | Sys::Virt::Network::UPDATE_AFFECT_CONFIG) });
like($n->get_xml_description, qr{192.168.141.50}, "is known");
$card = "<interface type='network'><mac address='52:54:00:11:11:11'/><source network='a'/><model type='virtio'/>BW</interface>";
($plain = $card) =~ s/BW//;
$d = lives("a machine in it", sub { $c->create_domain(machine("kit", devices => $plain)) });
my ($tap) = $d->get_xml_description =~ m{<target dev='(\w+)'/>\s*<model type='virtio'/>\s*<alias name='net0'};
ok($tap, "its device is named") or diag($d->get_xml_description);
my %rates = ("inbound.average" => 1000, "inbound.peak" => 1001, "inbound.burst" => 1002,
    "outbound.average" => 1003, "outbound.peak" => 1004, "outbound.burst" => 1005);
lives("its rates", sub { $d->set_interface_parameters($tap, \%rates) });
is($d->get_interface_parameters($tap, 0)->{$_}, $rates{$_}, "$_ is kept") for sort keys %rates;
ok(defined $d->interface_stats($tap)->{rx_bytes}, "its counts");
fails("counts of a stranger", 8, sub { $d->interface_stats("nosuch0") });
$d->destroy;
(my $floor = $card) =~ s{BW}{<bandwidth><inbound average='1000' peak='5000' floor='2000' burst='1024'/></bandwidth>};
fails("a floor without a limit of the network", UNSUPPORTED, sub { $c->create_domain(machine("kit", devices => $floor)) });
quiet(sub { $c->get_domain_by_name("kit")->destroy });
lives("stop", sub { $n->destroy });
lives("undefine", sub { $n->undefine });
$n = lives("with a limit", sub { $c->create_network(network("f", undef,
    "<bandwidth><inbound average='1000' peak='5000' burst='1024'/><outbound average='128' peak='256' burst='256'/></bandwidth>")) });
(my $fits = $floor) =~ s/network='a'/network='f'/;
$d = lives("a floor within it", sub { $c->create_domain(machine("kit", devices => $fits)) });
if ($d) {
    lives("a higher floor", sub { $d->set_interface_parameters("52:54:00:11:11:11", { %rates, "inbound.peak" => 5000, "inbound.floor" => 4000 }) });
    fails("a floor too high", INVALID, sub { $d->set_interface_parameters("52:54:00:11:11:11", { %rates, "inbound.floor" => 40000 }) });
    quiet(sub { $d->destroy });
}
quiet(sub { $n->destroy });
for my $way ("nat", "route", "open") {
    $n = lives("$way", sub { $c->create_network(network("w", undef, "<forward mode='$way'/>")) });
    (my $inside = $plain) =~ s/network='a'/network='w'/;
    $d = lives("a machine in it", sub { $c->create_domain(machine("kit", devices => $inside)) });
    quiet(sub { $d->destroy }); quiet(sub { $n->destroy });
}
fails("a machine in no network", NO_NETWORK, sub { (my $x = $plain) =~ s/network='a'/network='none'/; $c->create_domain(machine("kit", devices => $x)) });
gone("kit");
for my $way ("private", "vepa", "passthrough", "bridge") {
    $n = lives("forward $way", sub { $c->define_network("<network><name>m</name><forward mode='$way'><interface dev='kit0'/></forward></network>") });
    quiet(sub { $n->undefine });
}

    1;
} or broken($@);

eval {
    note "filters, secrets, devices of the host";
$f = lives("a filter", sub { $c->define_nwfilter("<filter name='kit' chain='root'><rule action='drop' direction='in'><tcp dstportstart='22'/></rule></filter>") });
is($c->get_nwfilter_by_name("kit")->get_uuid_string, $f->get_uuid_string, "found by name");
fails("the same name, another UUID", 9, sub { $c->define_nwfilter("<filter name='kit'><uuid>$U2</uuid></filter>") });
lives("undefine", sub { $f->undefine });
fails("it is gone", 62, sub { $c->get_nwfilter_by_name("kit") });
$s = lives("a secret", sub { $c->define_secret("<secret ephemeral='no' private='no'><uuid>$U1</uuid><usage type='volume'><volume>$folder/luks.img</volume></usage></secret>") });
fails("without a value", 66, sub { $s->get_value });
lives("its value", sub { $s->set_value("Hello World") });
is($s->get_value, "Hello World", "is kept");
is($c->get_secret_by_usage(Sys::Virt::Secret::USAGE_TYPE_VOLUME, "$folder/luks.img")->get_uuid_string, $U1, "found by use");
mkdir "$here/kitl"; chmod 0755, "$here/kitl";
$p = $c->create_storage_pool(pool("kitl"));
$v = lives("an encrypted volume", sub { $p->create_volume("<volume><name>luks.img</name><capacity>16777216</capacity><target><format type='raw'/>"
    . "<encryption format='luks'><secret type='passphrase' uuid='$U1'/></encryption></target></volume>") });
$d = lives("a machine that reads it", sub { $c->create_domain(machine("kit", devices =>
    "<disk type='file'><driver name='qemu' type='raw'/><source file='$folder/kitl/luks.img'/><target dev='vdb' bus='virtio'/>"
    . "<encryption format='luks'><secret type='passphrase' uuid='$U1'/></encryption></disk>")) });
quiet(sub { $d->destroy });
lives("undefine the secret", sub { $s->undefine });
fails("it is gone", 66, sub { $c->get_secret_by_uuid(join("", map { chr hex } $U1 =~ m{[0-9a-f]{2}}g)) });
quiet(sub { $v->delete(0) }); quiet(sub { $p->destroy });
ok(scalar($c->list_all_node_devices) > 0, "devices of the host");
fails("a device that there is not", 53, sub { $c->get_node_device_by_name("none_such") });

    1;
} or broken($@);

eval {
    note "snapshots";
system("qemu-img create -q -f qcow2 $here/snap.qcow2 16M; chmod 666 $here/snap.qcow2");
$snapdisk = "<disk type='file'><driver name='qemu' type='qcow2'/><source file='$folder/snap.qcow2'/><target dev='vda' bus='virtio'/></disk>";
($whole = machine("kit", devices => $snapdisk)) =~ s{<disk type='file'><driver name='qemu' type='raw'.*?</disk>}{}s;
$d = lives("define", sub { $c->define_domain($whole) });
lives("one", sub { $d->create_snapshot("<domainsnapshot><name>one</name></domainsnapshot>") });
$d->create;
$two = lives("two, with memory", sub { $d->create_snapshot("<domainsnapshot><name>two</name></domainsnapshot>") });
is($two->get_parent->get_name, "one", "two's parent is one");
is($d->num_of_snapshots, 2, "there are two");
fails("a name twice", 0, sub { $d->create_snapshot("<domainsnapshot><name>two</name></domainsnapshot>") });
is($d->current_snapshot->get_name, "two", "two is current");
fails("undefine with snapshots", INVALID, sub { $d->destroy; $d->undefine });
lives("back to two", sub { $d->get_snapshot_by_name("two")->revert_to(0) });
is(($d->get_state)[0], Sys::Virt::Domain::STATE_RUNNING, "and it runs");
lives("back to one", sub { $d->get_snapshot_by_name("one")->revert_to(0) });
is(($d->get_state)[0], Sys::Virt::Domain::STATE_SHUTOFF, "and it is off");
lives("remove one", sub { $d->get_snapshot_by_name("one")->delete(0) });
ok(!defined eval { $d->get_snapshot_by_name("two")->get_parent }, "two stands alone");
fails("one is gone", 72, sub { $d->get_snapshot_by_name("one") });
lives("remove two", sub { $d->get_snapshot_by_name("two")->delete(0) });
lives("undefine", sub { $d->undefine });

    1;
} or broken($@);

eval {
    note "what a client asks about";
like($c->get_capabilities, qr{<capabilities>.*<guest>}s, "capabilities");
like($c->get_domain_capabilities($emulator, "x86_64", "pc", "qemu", 0), qr{<domainCapabilities>}, "capabilities of machines");
ok($c->get_node_info->{cpus} > 0, "processors");
ok(scalar(my @models = $c->get_cpu_model_names("x86_64")) > 10, "models of processors");
fails("models of no architecture", 0, sub { $c->get_cpu_model_names("foo") }) if 0;
ok($c->get_version > 0 && $c->get_library_version > 0, "versions");
is($c->get_type, "QEMU", "kind");
fails("a document that is none", 35, sub { $c->define_domain("<domain") });
fails("a document of something else", 27, sub { $c->define_domain("<network/>") });
fails("a kind of machine that there is not", 0, sub { (my $x = machine("kit")) =~ s/type='qemu'/type='foo'/; $c->define_domain($x) });
is(eval { $c->domain_xml_from_native("qemu-argv", "x", 0); 0 } // $@->code, 3, "native to XML is not supported") if 0;
    1;
} or broken($@);

undef $_ for $d, $p, $v, $n, $f, $s, $first, $second, $two, $full, $base, $over;
done_testing;
