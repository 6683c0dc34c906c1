# Sourced: how a Debian file system is made on this machine.
# shellcheck shell=bash

DEBIAN_SUITE=trixie

# The archive that this machine's apt uses for Debian itself: a machine behind
# a mirror can often reach nothing else. Empty when it has none (another
# distribution); mmdebstrap then knows where Debian lives.
debian_mirror() {
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(CREATED_BY)|$(REPO_URI)' 2> /dev/null \
        | sed -n 's/^Debian|Debian|Packages|//p' | sort | uniq -c | sort -rn \
        | awk 'NR == 1 { print $2 }'
}

# Nothing is assumed of the machine but Debian's (or a relative's) apt.
debian_tools() {
    command -v mmdebstrap > /dev/null && return 0
    command -v apt-get > /dev/null \
        || die "mmdebstrap is not installed, and there is no apt to install it with"
    note "installing mmdebstrap"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mmdebstrap \
        debian-archive-keyring >&2 \
        || { apt-get update >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y \
            --no-install-recommends mmdebstrap debian-archive-keyring >&2; } \
        || die "mmdebstrap cannot be installed"
}

# debian_bootstrap SUITE PACKAGE-LIST TARGET [MMDEBSTRAP-OPTION…]
debian_bootstrap() {
    local suite=$1 list=$2 target=$3 packages mirror
    shift 3
    debian_tools
    packages=$(sed 's/#.*//' "$list" | tr -s ' \n' ',')
    mirror=$(debian_mirror)
    # debootstrap's own path filters do not apply here: mmdebstrap starts from
    # an empty configuration, so manual pages and documentation stay.
    mmdebstrap --quiet --variant=minbase --include="${packages#,}" \
        --aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt=force-unsafe-io \
        "$@" "$suite" "$target" ${mirror:+"$mirror"}
}
