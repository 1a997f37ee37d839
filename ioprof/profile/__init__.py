"""Someone's own training, unchanged: its DataLoaders are watched from the moment torch is imported."""
