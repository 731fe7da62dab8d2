# What the unit does under systemd, told by its own words. The last line is "all well" if everything was.

well=yes
must() {
    local what=$1
    shift
    if "$@"; then
        echo "✔ $what"
    else
        well=no
        echo "✘ $what"
    fi
}
# What follows makes no sense without it.
starts() {
    must "it starts" systemctl start ha
    [[ $well == yes ]] && return
    journalctl --unit ha --output cat | tail -n 60
    exit 1
}
# Within twenty seconds.
comes() {
    local _
    for _ in $(seq 200); do "$@" && return; sleep 0.1; done
    return 1
}
leads() { ha status --json 2>/dev/null | grep -q "\"state\": *\"master\""; }
holds() { ip -o address show | grep -q "$1"; }
lacks() { ! holds "$1"; }
main_process() { systemctl show --property MainPID --value ha; }
refused() { ! "$@" 2>/dev/null; }
drop_in() { printf '[Service]\n%s\n' "$1" >/etc/systemd/system/ha.service.d/more.conf; systemctl daemon-reload; }

echo 'ha:x:961:' >>/etc/group
echo 'ha:x:961:961::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
ip link set lo up
ip netns add far
ip link add eth0 type veth peer name eth0 netns far
ip address add 192.168.0.20/24 dev eth0
ip link set eth0 up
ip -n far address add 192.168.0.21/24 dev eth0
ip -n far link set eth0 up
mkdir -p /etc/ha /etc/systemd/system/ha.service.d
write() {
    cat >/etc/ha/ha.toml <<TOML
node = "node1"
[instance.VI_1]
interface = "eth0"
virtual_router_id = 51
priority = $1
version = 3
addresses = ["192.168.0.60/24"]
peers = ["192.168.0.21"]
TOML
}

echo "— as it is installed"
write 100
systemctl daemon-reload
starts
must "it leads" comes leads
must "it holds the address" holds 192.168.0.60
must "it is nobody but ha" grep -q '^Uid:	961	961	961	961$' "/proc/$(main_process)/status"
must "it is confined" eval 'journalctl --unit ha --output cat | grep -q "^confined: writes its own directories, starts no program, fewer system calls"'
write 101
must "it takes a reload" systemctl reload ha
write 1001
must "it refuses what is wrong, and says so to systemctl" refused systemctl reload ha
must "it still leads" leads
write 101
first=$(main_process)
must "it is restarted" systemctl restart ha
must "as another process" test "$first" != "$(main_process)"
must "that goes on as master" eval 'ha status | grep -q "its lease still"'
must "the address is there" holds 192.168.0.60
first=$(main_process)
must "it is there to be killed" eval '((first > 1)) && kill -KILL "$first"'
must "killed, it is started again" comes eval '[[ $(main_process) != 0 && $(main_process) != "$first" ]]'
must "and leads again" comes leads
systemctl stop ha
must "stopped, it leaves nothing" lacks 192.168.0.60

echo "— with programs that run as somebody else"
drop_in $'AmbientCapabilities=CAP_SETUID CAP_SETGID\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID\nSystemCallFilter=@setuid'
printf '#!/bin/sh\necho "$(id -un) $3" >>/run/told/told\n' >/usr/bin/tell
chmod 755 /usr/bin/tell
mkdir -m 777 /run/told
sed -i '/^ProtectSystem/a ReadWritePaths=/run/told' /etc/systemd/system/ha.service
systemctl daemon-reload
write 100
printf 'notify.run = ["/usr/bin/tell"]\nnotify.user = "nobody"\n' >>/etc/ha/ha.toml
starts
must "it leads" comes leads
must "they are told by nobody" comes grep -q '^nobody MASTER$' /run/told/told
systemctl stop ha
must "of the end, too" grep -q '^nobody STOP$' /run/told/told

echo "— with an instance in another network"
drop_in $'AmbientCapabilities=CAP_SYS_ADMIN\nCapabilityBoundingSet=CAP_SYS_ADMIN\nRestrictNamespaces=net\nSystemCallFilter=capset'
write 100
sed '/^node/d; s/VI_1/VI_2/; s/= 51/= 52/; s/192.168.0.60/192.168.0.61/; s/0.21"/0.20"/; s/^interface/netns = "far"\ninterface/' /etc/ha/ha.toml >/tmp/more
cat /tmp/more >>/etc/ha/ha.toml
starts
must "it holds the address there" comes eval 'ip -n far -o address show | grep -q 192.168.0.61'
systemctl stop ha
must "stopped, it leaves nothing there" eval '! ip -n far -o address show | grep -q 192.168.0.61'
drop_in ''
write 100
starts
must "it leads" comes leads
systemctl stop ha
must "and has no more to do there" eval '! journalctl --unit ha --output cat | grep -q "cannot be entered"'

[[ $well == yes ]] || journalctl --unit ha --output cat | tail -n 60
[[ $well == yes ]] && echo "all well"
