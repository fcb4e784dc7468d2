"""What makes a bijector work: the contract, one pass, modes, state, gradients without storage."""
