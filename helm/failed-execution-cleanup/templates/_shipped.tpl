{{/*
Objects of files/, which are copies of crds/ and manifests/: only names, namespaces and labels are set here.
*/}}

{{/* All objects of a file: fec.shipped (dict "root" $ "file" "files/base/rbac.yaml" "without" (list "ServiceAccount/name")). */}}
{{- define "fec.shipped" -}}
{{- range regexSplit "(?m)^---\\s*$" (.root.Files.Get .file) -1 }}
{{- $object := fromYaml . }}
{{- if hasKey $object "Error" }}{{ fail (printf "%s: %s" $.file (index $object "Error")) }}{{ end }}
{{- if not (has (printf "%s/%s" $object.kind $object.metadata.name) ($.without | default list)) }}
---
{{ include "fec.object" (dict "root" $.root "object" $object) }}
{{- end }}
{{- end }}
{{- end }}

{{/* One object, with the names of this release instead of failed-execution-cleanup. */}}
{{- define "fec.object" -}}
{{- $shipped := "^failed-execution-cleanup" }}
{{- $own := include "fec.fullname" .root }}
{{- $object := deepCopy .object }}
{{- $metadata := $object.metadata }}
{{- $_ := set $metadata "name" (regexReplaceAll $shipped $metadata.name $own) }}
{{- if eq ($metadata.namespace | default "") "failed-execution-cleanup" }}{{ $_ := set $metadata "namespace" .root.Release.Namespace }}{{ end }}
{{- $_ := set $metadata "labels" (merge (dict) (include "fec.labels" .root | fromYaml) ($metadata.labels | default dict)) }}
{{- with merge (dict) ($metadata.annotations | default dict) .root.Values.commonAnnotations }}{{ $_ := set $metadata "annotations" . }}{{ end }}
{{- with $object.roleRef }}{{ $_ := set . "name" (regexReplaceAll $shipped .name $own) }}{{ end }}
{{- range $object.subjects }}
{{- $part := ternary "console" "operator" (hasSuffix "-console" .name) }}
{{- $_ := set . "name" (include "fec.part.account" (dict "root" $.root "part" $part)) }}
{{- $_ := set . "namespace" $.root.Release.Namespace }}
{{- end }}
{{- if eq $object.kind "ValidatingAdmissionPolicyBinding" }}{{ $_ := set $object.spec "policyName" $metadata.name }}{{ end }}
{{- toYaml $object }}
{{- end }}
