{{- define "gantry.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- define "gantry.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "gantry.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gantry.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- define "gantry.selector" -}}
app.kubernetes.io/name: {{ include "gantry.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "gantry.labels" -}}
{{ include "gantry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
{{- define "gantry.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ required "image.tag or image.digest is needed" .tag }}{{- end -}}
{{- end -}}
{{- end -}}
{{- define "gantry.config" -}}
{{- default (include "gantry.fullname" .) .Values.existingSecret -}}
{{- end -}}
{{- define "gantry.configured" -}}
{{- if or .Values.config .Values.existingSecret }}yes{{ end -}}
{{- end -}}
{{- define "gantry.check" -}}
{{- if and .Values.config .Values.existingSecret -}}
{{- fail "config and existingSecret are both set: put config.yaml into the Secret, or take existingSecret out" -}}
{{- end -}}
{{- if and .Values.tls (not .Values.existingSecret) -}}
{{- fail "tls needs existingSecret, a Secret with ssl.cert and ssl.key (and config.yaml)" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) .Values.persistence.enabled (not (has "ReadWriteMany" .Values.persistence.accessModes)) -}}
{{- fail (printf "replicas is %d, but the volume is for one pod: configure a database server and a bucket and set persistence.enabled to false, or set replicas to 1" (int .Values.replicas)) -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not (include "gantry.configured" .)) -}}
{{- fail (printf "replicas is %d, but without a configuration each has a database of its own: set DB_URI and DISTRIBUTED_STORAGE_CONFIG in config, or replicas to 1" (int .Values.replicas)) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host is needed, because ingress.enabled is true: the name by which clients know the registry" -}}
{{- end -}}
{{- end -}}
