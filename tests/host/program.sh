# Sourced: the built ragpod, in the host.
# shellcheck shell=bash

no_program() { die "there is no $HOST_BIN; build it first: cargo build --release"; }

# The images are built from the recipes that the binary carries, but cached by
# those of the checkout: they must be the same.
current_program() {
    local newer
    [ -x "$HOST_BIN" ] || no_program
    newer=$(find -H "$CHECKOUT/packaging/images" -type f "${NO_RECIPE[@]}" -newer "$HOST_BIN" -print -quit)
    [ -z "$newer" ] || die "$HOST_BIN is older than ${newer#"$CHECKOUT/"}, which it carries; build it again: cargo build --release"
}

# Copies the binary in when it is another one than last time. Two at once may
# both copy; each does it whole.
put_program() {
    local now last=
    # It gets a package.
    [ -z "$HOST_FRESH" ] || return 0
    if [ ! -x "$HOST_BIN" ]; then
        [ "${user:-}" = root ] || [ "${RAGPOD_TEST_IMAGES:-1}" = 0 ] || no_program
        return 0
    fi
    now=$(stat --dereference --format '%n %d:%i %s %.Y' "$HOST_BIN")
    { read -r last < "$HOST_STATE/program"; } 2> /dev/null || true
    [ "$now" != "$last" ] || return 0
    local into=/proc/$HOST_PID/root/usr/local/bin
    cp --dereference "$HOST_BIN" "$into/.ragpod.$$"
    chmod 0755 "$into/.ragpod.$$"
    mv "$into/.ragpod.$$" "$into/ragpod"
    echo "$now" > "$HOST_STATE/program.$$"
    mv "$HOST_STATE/program.$$" "$HOST_STATE/program"
}
