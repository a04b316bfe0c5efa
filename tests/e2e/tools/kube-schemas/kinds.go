// Package kinds names the Go types whose CustomResourceDefinition is made from them, since no module ships it.
package kinds

import _ "github.com/fluxcd/helm-controller/api/v2"
