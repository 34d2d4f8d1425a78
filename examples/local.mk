# Examples: built with the tests, installed nowhere.
include examples/snapshot/local.mk
include examples/redis/local.mk
include examples/minigc/local.mk
