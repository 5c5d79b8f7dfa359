{{/* Names and labels. */}}

{{- define "fec.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end }}

{{/* Base of every name; the longest suffix is -appliance-events. */}}
{{- define "fec.fullname" -}}
{{- $name := include "fec.name" . -}}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) -}}
{{- $full | trunc 46 | trimSuffix "-" -}}
{{- end }}

{{/* What a part is called: fec.part.name (dict "root" $ "part" "console"). The operator has no suffix. */}}
{{- define "fec.part.name" -}}
{{- include "fec.fullname" .root }}{{ if ne .part "operator" }}-{{ .part }}{{ end -}}
{{- end }}

{{- define "fec.part.account" -}}
{{- (index .root.Values .part).serviceAccount.name | default (include "fec.part.name" .) -}}
{{- end }}

{{/* By these pods are selected: they never change. */}}
{{- define "fec.part.selector" -}}
app.kubernetes.io/name: failed-execution-cleanup
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "fec.labels" -}}
{{- $ours := dict
  "app.kubernetes.io/name" "failed-execution-cleanup"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
}}
{{- merge (dict) $ours .Values.commonLabels | toYaml }}
{{- end }}

{{/* The metadata of an object. Takes root and name, and optionally part, labels, annotations and namespace. */}}
{{- define "fec.metadata" -}}
name: {{ .name }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- $part := ternary (dict "app.kubernetes.io/component" .part) dict (hasKey . "part") }}
labels:
{{- merge (dict) $part (.labels | default dict) (include "fec.labels" .root | fromYaml) | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "fec.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}
