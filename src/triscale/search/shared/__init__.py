"""One search, any number of workers: what each asks and answers goes through a storage that all of them see."""
