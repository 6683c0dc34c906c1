# Run as root in the test host: a network namespace of its own at 10.99.0.2, to which the host's
# default route leads, and in it the stand-in provider that is on standard input. Its certificate,
# for the names below, is of a CA that nobody knows but who is given $1/ca.pem.
dir=$1
names="api.test other.test"
mkdir -p "$dir" && chmod 755 "$dir" && cd "$dir"
cat > standin.new
if systemctl --quiet is-active ragpod-standin.service && cmp -s standin.new standin.py; then exit 0; fi
systemctl stop ragpod-standin.service 2>/dev/null || true
mv standin.new standin.py
ip netns delete standin 2>/dev/null || true
ip link delete standin0 2>/dev/null || true
ip netns add standin
ip link add standin0 type veth peer name standin1 netns standin
ip addr add 10.99.0.1/24 dev standin0
ip link set standin0 up
ip -n standin addr add 10.99.0.2/24 dev standin1
ip -n standin link set standin1 up
ip -n standin link set lo up
ip -n standin route add default via 10.99.0.1
ip route replace default via 10.99.0.2
sed -i '/^10\.99\.0\.2 /d' /etc/hosts
echo "10.99.0.2 $names" >> /etc/hosts
if [ ! -e cert.pem ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=Test CA' \
        -keyout ca-key.pem -out ca.pem -addext keyUsage=critical,keyCertSign
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=api.test' \
        -keyout key.pem -out request.pem
    printf 'subjectAltName=DNS:api.test,DNS:other.test\nauthorityKeyIdentifier=keyid\n' > ext
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -days 2 -extfile ext -out cert.pem
fi
rm -f requests delay-*
systemctl reset-failed ragpod-standin.service 2>/dev/null || true
systemd-run --quiet --unit ragpod-standin --property Type=exec \
    ip netns exec standin python3 "$dir/standin.py" "$dir" 10.99.0.2
for _ in $(seq 100); do
    grep -qs ready requests && exit 0
    sleep 0.1
done
journalctl -u ragpod-standin.service -n 20 >&2
exit 1
