module agent-spiffe.test/interop/grant

go 1.24.0
