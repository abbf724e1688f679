"""The mathematics: e-processes made of bets, the confidence sequences that invert them, and what makes them fair."""
