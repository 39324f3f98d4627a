module {{id}}

go 1.24
