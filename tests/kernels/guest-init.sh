#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: MIT
#
# The first process of a guest: makes the system that the tests want, runs every
# program of /cardmark/list and powers off. The console carries the results, with
# lines of our own that start with @@: tap.awk reads them.
/bin/busybox mkdir -p /bin /dev /etc /proc /root /sys /tmp
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=1777 tmp /tmp
dmesg -n 1 # nothing between the results but the kernel's last words
exec </dev/null 2>&1
printf 'root:x:0:0::/tmp:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n' >/etc/passwd

# CARDMARK_REQUIRE fails what is missing after this.
for module in /cardmark/modules/*.ko; do
	insmod "$module" || echo "# insmod $module failed"
done
if echo 256M >/sys/block/zram0/disksize; then
	mkswap /dev/zram0 >/dev/null && swapon /dev/zram0
fi
cd /sys/kernel/mm/ksm && {
	echo 5 >sleep_millisecs
	echo 2000 >pages_to_scan
	[ ! -e smart_scan ] || echo 0 >smart_scan # 6.7: it would pass over pages for a while
	echo 1 >run
}
echo 4 >/proc/sys/vm/nr_hugepages
# Tests make huge pages and split them: khugepaged would join in at any time.
echo 3600000 >/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs
cd /cardmark || exit 1

# Live tests run on one CPU: waking a thread on another one takes a hundred times
# as long here, and they do not test parallel work. The soundness tests do.
run()
{
	case $1 in
	tests/kernels/* | tests/unit/*) "./$1" ;;
	tests/live/*) taskset 1 sh tests/support/each-backend.sh "./$1" ;;
	*) sh tests/support/each-backend.sh "./$1" ;;
	esac
}

# shellcheck source=/dev/null
. ./environment
export CARDMARK_SRCDIR=/cardmark # what the tests look for in the source tree is packed
CARDMARK_TEST_BACKENDS=$(echo "$CARDMARK_TEST_BACKENDS" | tr , ' ')
uptime_seconds()
{
	cut -d' ' -f1 /proc/uptime
}

echo "@@ booted $(uname -r) $(uptime_seconds)"
sed 's/^export /# /' environment # what is cut short here
echo "# clock: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
while read -r program; do
	echo "@@ begin $program"
	run "$program" </dev/null
	echo "@@ end $program $? $(uptime_seconds)"
done <list
# Without privilege (vm.unprivileged_userfaultfd is 0) this backend is another one.
for program in tests/live/collect_test tests/soundness/random/random_test; do
	echo "@@ begin $program nobody"
	su nobody -c "CARDMARK_TEST_BACKENDS=uffd sh tests/support/each-backend.sh ./$program"
	echo "@@ end $program $? $(uptime_seconds)"
done
dmesg -r | sed -n 's/^<[0-4]>/# dmesg: /p'
echo "@@ done"
poweroff -f
