"""What every room stands on: artefacts, the store, how a thing is declared and tracked."""
