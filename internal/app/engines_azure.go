//go:build !small

package app

import (
	"context"

	"github.com/gantry-registry/gantry/internal/blob/azure"
	"github.com/gantry-registry/gantry/internal/blob/wire"
)

func init() { engines["AzureStorage"] = openAzure } //nolint:gochecknoinits // a build tag can leave this file out

func openAzure(_ context.Context, src engineSource) (engine, error) {
	o := azure.Options{
		Container: src.String("azure_container"), StoragePath: src.String("storage_path"),
		AccountName: src.String("azure_account_name"), AccountKey: src.String("azure_account_key"), SASToken: src.String("sas_token"),
		EndpointURL: src.String("endpoint_url"), RootCAs: src.Config.RootCAs(),
	}
	if src.Shared {
		o.Memory = wire.BesideS3
	}
	return azure.New(o)
}
