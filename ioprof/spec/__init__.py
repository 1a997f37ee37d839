"""What a run is: frozen, validated, and refused in one line when it makes no sense."""
