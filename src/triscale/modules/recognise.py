def recognised(module, example_input):
    return None
