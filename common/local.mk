# Headers that all rooms share. They have no object of their own, so a program links only what it
# needs. They are not installed, and depend on no room.
EXTRA_DIST += common/clock.h common/die.h common/histogram.h common/maps.h common/random.h \
	common/ranges.h common/signals.h common/usdt.h common/utf8.h common/wait.h
