"""All bugs that are planted."""

from tests.mutants import around_numbers, in_numbers

MUTANTS = [*in_numbers.MUTANTS, *around_numbers.MUTANTS]
