{{/* One rule of egress to a destination of networkPolicy. */}}
{{- define "fec.egress" -}}
- ports:
  {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
  {{- end }}
  {{- with .cidrs }}
  to:
  {{- range . }}
    - ipBlock: {cidr: {{ . }}}
  {{- end }}
  {{- end }}
{{- end }}

{{/* One rule of ingress to a named port: fec.ingress (dict "port" "metrics" "from" list). */}}
{{- define "fec.ingress" -}}
- ports:
    - {port: {{ .port }}, protocol: TCP}
  {{- with .from }}
  from:
  {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What a part may connect to, and who to it; takes root, part and the rules of ingress. */}}
{{- define "fec.network" -}}
{{- if .root.Values.networkPolicy.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
{{- include "fec.metadata" (dict "root" .root "name" (include "fec.part.name" .) "part" .part) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
    {{- include "fec.part.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
  {{- .ingress | nindent 4 }}
  egress:
    # Names.
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
    # The Kubernetes API.
  {{- include "fec.egress" .root.Values.networkPolicy.kubernetesApi | nindent 4 }}
    # Appliances: the cloud, the database, the Volume Daemon.
  {{- include "fec.egress" .root.Values.networkPolicy.appliances | nindent 4 }}
{{- end }}
{{- end }}
