# What all rooms write alike: headers with no object of their own, so that no program links what it
# does not need. None is installed, and none knows a room.
EXTRA_DIST += common/clock.h common/die.h common/histogram.h common/maps.h common/random.h \
	common/ranges.h common/signals.h common/usdt.h common/utf8.h common/wait.h
