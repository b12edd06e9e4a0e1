# The bundle's image: `buildah bud -f bundle.Dockerfile deploy/olm/bundle`.
FROM scratch
LABEL operators.operatorframework.io.bundle.mediatype.v1=registry+v1
LABEL operators.operatorframework.io.bundle.manifests.v1=manifests/
LABEL operators.operatorframework.io.bundle.metadata.v1=metadata/
LABEL operators.operatorframework.io.bundle.package.v1=quay-operator
LABEL operators.operatorframework.io.bundle.channels.v1=stable-3.7
LABEL operators.operatorframework.io.bundle.channel.default.v1=stable-3.7
COPY manifests /manifests/
COPY metadata /metadata/
