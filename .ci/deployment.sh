# shellcheck disable=SC2086
# Installs the package $1, uses it as an operator does, and removes it. `deployment.py` runs it in a copy of this machine.
export DEBIAN_FRONTEND=noninteractive GANNET_ADMIN=/run/gannet/admin.sock
config=/etc/gannet/gannet.toml
getent passwd gannet && { echo "this machine has the user already"; exit 1; }

dpkg --install "$1"
getent passwd gannet | grep -q ':/nonexistent:'
[ "$(stat -c '%a %U:%G' $config)" = "640 root:gannet" ]
[ "$(stat -c '%a %U:%G' /usr/bin/gannet)" = "755 root:root" ]
[ -s /usr/share/man/man1/gannet-serve.1.gz ]
systemd-analyze verify /usr/lib/systemd/system/gannet.service 2>&1 | grep 'gannet\.' && exit 1

# As the unit starts it, with its own settings; only the drain is shorter.
as_gannet="setpriv --reuid gannet --regid gannet --clear-groups --inh-caps=-all"
install -d -o gannet -g gannet -m 750 /run/gannet
serve=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/gannet.service)
export GANNET_DRAIN_DELAY=0s GANNET_DRAIN_SPREAD=0s
$as_gannet $serve >/run/started 2>/run/log &
server=$!
until grep -q '^ready$' /run/started; do kill -0 $server; sleep 0.05; done
gannet probe http://127.0.0.1:9090/readyz

# What an operator changes is taken over by a reload, and stays when the package is installed again.
sed -i 's/^connections = .*/connections = 4321/' $config
reload=$(sed -n 's/^ExecReload=//p' /usr/lib/systemd/system/gannet.service)
$as_gannet $reload | tee /run/reloaded
grep -q '^limits.connections: 1000000 -> 4321 (/etc/gannet/gannet.toml:' /run/reloaded
dpkg --install "$1"
grep -q '^connections = 4321' $config
curl --silent --fail http://127.0.0.1:9090/metrics | grep '^gannet_limit{limit="connections"} 4321$'
# A mistake changes nothing, and says where it is.
echo 'conections = 1' >>$config
if $as_gannet $reload 2>/run/mistake; then exit 1; fi
grep -q "$config:" /run/mistake
gannet probe http://127.0.0.1:9090/readyz
kill -TERM $server
wait $server

dpkg --remove gannet
[ ! -e /usr/bin/gannet ] && [ -e $config ]
dpkg --purge gannet
[ ! -e /etc/gannet ]
echo "installed, used and removed"
