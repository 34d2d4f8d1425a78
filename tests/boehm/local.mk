# Tests of the Boehm adapter.
