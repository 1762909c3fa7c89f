"""The demo: an issue tracker whose page follows its tables live."""
