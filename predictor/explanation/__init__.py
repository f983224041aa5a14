"""Why the crowd says what it says: evidence, the risk of any request, attributions, counterfactual requests, words."""
