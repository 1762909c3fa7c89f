"""There are none here: what matters are the migrations."""
