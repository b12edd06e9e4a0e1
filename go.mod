module github.com/gantry-registry/gantry

go 1.26
