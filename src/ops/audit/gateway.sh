# Connections from the gateway's container: each argument is an ADDRESS/PORT.
for target in "$@"; do
    (
        said=$(LC_ALL=C timeout 2.5 bash -c "exec 3<> /dev/tcp/$target" 2>&1)
        echo "connect $target $? ${said##*: }"
    ) &
done
wait
