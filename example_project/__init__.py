"""The project that shows django_electric at work and lends its settings to the tests."""
