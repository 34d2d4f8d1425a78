# SPDX-License-Identifier: MIT
"""A results file and its schema, for the tests of both: python3 - SCHEMA FILE, and then
"from schema import whole, spoil, finish"."""
import copy
import json
import sys

import jsonschema

schema, whole = (json.load(open(name, encoding="utf-8")) for name in sys.argv[1:])
jsonschema.Draft7Validator.check_schema(schema)
check = jsonschema.Draft7Validator(schema)
bad = 0
for error in check.iter_errors(whole):
    print("FAIL", list(error.path), error.message[:200])
    bad += 1


def spoil(change):
    """The file, changed so, must be found wrong."""
    global bad
    copied = copy.deepcopy(whole)
    change(copied)
    if check.is_valid(copied):
        print("FAIL: the schema did not find line", change.__code__.co_firstlineno)
        bad += 1


def finish():
    sys.exit(bad != 0)
