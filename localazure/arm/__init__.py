"""How any resource answers: errors, ids, bodies, tokens, pages, operations, faults."""
