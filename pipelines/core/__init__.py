"""The base of every other room: artefacts, the store, declarations and tracking."""
