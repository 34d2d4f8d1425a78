-- SPDX-License-Identifier: MIT
--
-- Groebner bases and resolutions in the interpreter, with tables of results that
-- grow old. M2 --script macaulay2.m2  Prints checksums only.
setRandomSeed 7
seen = new MutableHashTable
work = k -> (
    R := ZZ/32003[x_0..x_4];
    I := ideal apply(4, i -> random(2 + (i + k) % 2, R));
    G := gens gb I;
    seen#k = apply(300, i -> {i, i * k, toString (i * i + k)});
    numColumns G + degree I + length res I)
print sum(30, work)
text = n -> concatenate apply(n, i -> toString (i^3 % 1009) | " ")
print sum(150, k -> (seen#(k % 7) = separate(" ", text 3000); #seen#(k % 7)))
print sum(values seen, length)
