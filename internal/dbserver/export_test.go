package dbserver

func (k Kind) Folder() string { return k.folder() }
