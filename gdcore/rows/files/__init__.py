"""Tables on disk. `opening` leads from paths to a `sources.Source`: `folders` says which files a path means, `readers` who
reads each of them, `several` joins them, and `kept` decodes them once. What a model makes of columns is not known here."""
