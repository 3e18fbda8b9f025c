"""Facts for models of tests: another label is another recipe, "long: " a network, and references make a baseline."""


def facts(label, role="student"):
    """What kdasr.json says of a model that is called so."""
    network, named, recipe = label.rpartition(": ")
    told = {"recipe": recipe, "network": network if named else ""}
    if role == "teacher":
        return told
    alone = recipe.endswith("references")
    return told | {"learned_from": "references" if alone else "hypotheses", "baseline": alone}
