// RUN: qlow-opt -split-input-file -verify-diagnostics %s

// expected-error@+1 {{the tile at level 'reg' must be three sizes [m, n, k] of at least 1}}
#r = #qlow.recipe<mul, tiles = [<reg, [1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>

// -----

// expected-error@+1 {{the tile at level 'reg' must be three sizes [m, n, k] of at least 1}}
#r = #qlow.recipe<mul, tiles = [<reg, [1, 0, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>

// -----

// expected-error@+1 {{expected one tile at level 'reg', found another}}
#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>, <reg, [2, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>

// -----

// expected-error@+1 {{expected rescale = fold, block, follow or end, found 'never'}}
#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = never>

// -----

// expected-error@+1 {{expected split_k of at least 1, found 0}}
#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end, split_k = 0>

// -----

// expected-error@+1 {{expected swap or split_k, each once at most, found 'swap'}}
#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end, swap = true, swap = true>

// -----

// expected-error@+1 {{expected stages of at least 1 and a swizzle of at least 0, found 0 and 128}}
#r = #qlow.hop<to = reg, by = load, stages = 0, swizzle = 128>

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
// expected-error@+1 {{only the last recipe may be without a bound on m}}
#rs = #qlow.recipes<[#r, m to 4 : #r]>

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
// expected-error@+1 {{expected one recipe more than bounds, found 1 and 1}}
#rs = #qlow.recipes<[m to 4 : #r]>

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
// expected-error@+1 {{the bounds on m must ascend}}
#rs = #qlow.recipes<[m to 4 : #r, m to 4 : #r, #r]>

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
// expected-error@+1 {{expected bounds on m of at least 1, found 0}}
#rs = #qlow.recipes<[m to 0 : #r, #r]>

// -----

// expected-error@+1 {{expected one recipe more than bounds, found 0 and 0}}
#rs = #qlow.recipes<[]>

// -----

// expected-error@+1 {{expected a layout with elements of i1, i4, i8, i16, i32, f8E4M3FN, f8E5M2, f16, bf16 or f32, found 'i7'}}
#l = #qlow.layout<element = i7, panel = 16, columns = 16, group = 4>

// -----

// expected-error@+1 {{expected a group of whole bytes, found 3 elements of 'i4'}}
#l = #qlow.layout<element = i4, panel = 16, columns = 16, group = 3>

// -----

// expected-error@+1 {{expected codes of less than a byte as they are, with offset = 0, found 8}}
#l = #qlow.layout<element = i4, panel = 16, columns = 16, group = 32, offset = 8>

// -----

// expected-error@+1 {{expected a panel of whole columns and a group of at least 1, found panel = 24, columns = 16 and group = 4}}
#l = #qlow.layout<element = i8, panel = 24, columns = 16, group = 4>

// -----

// expected-error@+1 {{expected a panel and a group of at most 65536, found 16 and 9223372036854775807}}
#l = #qlow.layout<element = i8, panel = 16, columns = 16, group = 9223372036854775807>
