"""The kinds of models that compete, behind one interface: `podium.entrants.base.EntrantKind`."""
